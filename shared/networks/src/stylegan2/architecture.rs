//! What a generator's file tells of it, and what a caller must tell.

use crate::error::LoadError;
use crate::layers::check_clamp;
use crate::weights::Weights;

/// What a generator's tensors do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct GeneratorConfig {
    /// The bound on activations: every layer's output, after the activation and its gain sqrt(2), and every level's RGB
    /// output, before the image of the level below is added, is cut to `[-c, c]`. 256 in networks trained by
    /// stylegan2-ada-pytorch or stylegan3, which put it in for their half-precision layers; `None` in all others.
    ///
    /// `conv_clamp` of `networks_stylegan2.py` (<https://github.com/NVlabs/stylegan3>): the bound itself is not
    /// multiplied by sqrt(2), as `SynthesisLayer` multiplies it by its argument `gain`, which is 1 in this architecture.
    pub conv_clamp: Option<f64>,
}

impl GeneratorConfig {
    pub(super) fn check(&self, weights: &Weights) -> Result<(), LoadError> {
        check_clamp(weights, self.conv_clamp)
    }
}

/// The sizes of a generator, as its file has them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Architecture {
    /// Height and width of the image, px.
    pub resolution: i64,
    /// Size of z.
    pub z_dim: i64,
    /// Size of w.
    pub w_dim: i64,
    /// Layers of the mapping network, without the normalisation: 8 in the papers' networks, 2 in ADA's "auto" ones.
    pub mapping_layers: usize,
    /// `(resolution, channels)` from 4 px up; any table will do.
    pub channels: Vec<(i64, i64)>,
}

impl Architecture {
    /// Latents in W+: `2 log2(resolution) - 2`.
    pub fn n_latent(&self) -> i64 {
        2 * self.channels.len() as i64
    }

    /// The reference code's channel multiplier (2 for config F, 1 for the smaller nets), where the channels follow its
    /// table: 512 up to 32 px, then `256 m` at 64 px, halved at every doubling. `None` below 64 px, where the table
    /// does not depend on it, and for other channel counts.
    pub fn channel_multiplier(&self) -> Option<i64> {
        let m = self.channels.iter().find(|(r, _)| *r == 64)?.1 / 256;
        let table = |r: i64| if r <= 32 { 512 } else { 256 * 64 * m / r };
        (m > 0 && self.channels.iter().all(|&(r, c)| c == table(r))).then_some(m)
    }
}
