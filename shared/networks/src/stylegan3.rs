//! The StyleGAN3 generator, configurations T and R (Karras et al., 2021, <https://arxiv.org/abs/2106.12423>), with the
//! parameter names of `networks_stylegan3.py` (<https://github.com/NVlabs/stylegan3>).
//!
//! Layers, their order, sizes and channels are read from the names `synthesis.L{i}_{size}_{channels}` and the shapes
//! under them; the size of the convolution kernels (3 in T, 1 in R), the low-pass filters and whether those are radial
//! (R) too. What the tensors cannot tell is in [`Config`], with the published values as defaults, and the sizes in the
//! names must be those it gives.
//!
//! There is no noise: one latent gives one image. Parameters are frozen; gradients flow to the latents. Everything is
//! computed in `Float` (or `Double`): the published networks' half-precision layers are a matter of speed.
//!
//! A style is normalised per sample here, where the original divides by the root mean square over the batch. The
//! demodulation cancels either factor but for its epsilon of 1e-8, and an image must not depend on its batch-mates.

mod config;
mod filtered;
mod input;
mod layer;
mod names;

use tch::{Device, Kind, Tensor};

pub use self::config::Config;
use self::config::plan;
use self::input::FourierFeatures;
use self::layer::{Layer, LayerSize};
use self::names::layer_names;
use crate::error::{LoadError, NetworkError};
use crate::latent::{Mapping, broadcast, refuse_conditional, truncate};
use crate::shape::expect;
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "StyleGAN3 generator";
/// Colours of the image.
const RGB: i64 = 3;

/// The sizes of a generator, as its file has them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Architecture {
    /// Height and width of the image, px.
    pub resolution: i64,
    /// Size of z.
    pub z_dim: i64,
    /// Size of w.
    pub w_dim: i64,
    /// Layers of the mapping network, without the normalisation.
    pub mapping_layers: usize,
    /// Height and width of the convolution kernels: 3 in configuration T, 1 in R.
    pub kernel: i64,
    /// Whether any of the downsampling filters is radial, as those of configuration R are below the last layers.
    pub radial: bool,
    /// Height and width of the output, margin included, and channels of each layer, the last being RGB.
    pub layers: Vec<(i64, i64)>,
}

impl Architecture {
    /// Latents in W+: one for the Fourier features and one for each layer, 16 in the published networks.
    pub fn n_latent(&self) -> i64 {
        self.layers.len() as i64 + 1
    }
}

/// A frozen StyleGAN3 generator.
#[derive(Debug)]
pub struct Generator {
    architecture: Architecture,
    config: Config,
    device: Device,
    kind: Kind,
    mapping: Mapping,
    latent_avg: Tensor,
    input: FourierFeatures,
    layers: Vec<Layer>,
}

impl Generator {
    /// Builds the generator from all of the file's tensors and what `config` says of it.
    ///
    /// # Errors
    /// When a tensor is missing, left over or of another shape than the names and the other tensors call for; when the
    /// sizes in the names are not those that `config` gives; when the network is conditioned on class labels; when the
    /// weights are to be neither `Float` nor `Double`; when `config` holds no possible value.
    pub fn load(mut weights: Weights, config: Config) -> Result<(Self, LoadReport), LoadError> {
        let (device, kind) = (weights.device(), weights.kind());
        if kind != weights.wide_kind() {
            return Err(weights.setting_error("kind", format!("is {kind:?}, expected Float or Double")));
        }
        refuse_conditional(&weights)?;
        let names = layer_names(&weights)?;
        // Safe to index: a list of names is never empty.
        let last = &names[names.len() - 1];
        let resolution = last.size;
        if last.channels != RGB {
            return Err(weights.value_error(&last.tensor("weight"), "belongs to a last layer that does not draw RGB"));
        }
        let levels = plan(&weights, config, resolution, names.len())?;
        for (name, level) in names.iter().zip(&levels) {
            if name.size != level.size {
                let reason = format!("has {} px in its name, but the settings give {} px", name.size, level.size);
                return Err(weights.value_error(&name.tensor("weight"), reason));
            }
        }

        let [w_dim] = weights.dims("mapping.w_avg")?;
        let latent_avg = weights.take("mapping.w_avg", &[w_dim])?;
        let mapping = Mapping::take(&mut weights, "mapping.fc", 0, w_dim)?;
        let [mut inputs, _] = weights.dims("synthesis.input.weight")?;
        let input = FourierFeatures::take(weights.scope("synthesis.input"), inputs, w_dim, &levels[0])?;

        let [_, _, kernel, _] = weights.dims(&names[0].tensor("weight"))?;
        let mut layers = Vec::with_capacity(names.len());
        for (i, name) in names.iter().enumerate() {
            let [from, to] = [&levels[i.saturating_sub(1)], &levels[i]];
            let to_rgb = i + 1 == names.len();
            let kernel = if to_rgb { 1 } else { kernel };
            let size = LayerSize { inputs, outputs: name.channels, w_dim, kernel, to_rgb };
            layers.push(Layer::take(&mut weights, &name.prefix(), size, from, to, config.conv_clamp)?);
            inputs = name.channels;
        }
        let architecture = Architecture {
            resolution,
            z_dim: mapping.z_dim(),
            w_dim,
            mapping_layers: mapping.depth(),
            kernel,
            radial: layers.iter().any(Layer::is_radial),
            layers: names.iter().map(|name| (name.size, name.channels)).collect(),
        };
        let report = weights.finish()?;
        Ok((Generator { architecture, config, device, kind, mapping, latent_avg, input, layers }, report))
    }

    /// The sizes read from the file.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// What the generator was told beside its file.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Latents in W+ (the `L` of `[B, L, w_dim]`).
    pub fn n_latent(&self) -> i64 {
        self.architecture.n_latent()
    }

    /// Size of z.
    pub fn z_dim(&self) -> i64 {
        self.architecture.z_dim
    }

    /// Size of w.
    pub fn w_dim(&self) -> i64 {
        self.architecture.w_dim
    }

    /// Height and width of the image, px.
    pub fn resolution(&self) -> i64 {
        self.architecture.resolution
    }

    /// The device the generator computes on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The mean of w, `[w_dim]`; every checkpoint has it.
    pub fn latent_avg(&self) -> Option<&Tensor> {
        Some(&self.latent_avg)
    }

    /// Maps `z` `[B, z_dim]` to `w` `[B, w_dim]`.
    pub fn map(&self, z: &Tensor) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "z", z, [None, Some(self.z_dim())])?;
        Ok(self.mapping.forward(&z.f_to_kind(self.kind)?)?)
    }

    /// The truncation trick, `w_avg + psi (w - w_avg)`, on `w` `[B, w_dim]` or W+ `[B, L, w_dim]`.
    ///
    /// `psi` 1 changes nothing; inverted latents need none.
    pub fn truncate(&self, w: &Tensor, psi: f64) -> Result<Tensor, NetworkError> {
        truncate(NETWORK, w, &self.latent_avg, psi)
    }

    /// Repeats `w` `[B, w_dim]` for every layer: W+ `[B, L, w_dim]` (a view, nothing is copied).
    pub fn broadcast(&self, w: &Tensor) -> Result<Tensor, NetworkError> {
        broadcast(NETWORK, w, self.n_latent(), self.w_dim())
    }

    /// Renders W+ `[B, L, w_dim]` to images `[B, 3, R, R]`, RGB, nominally in [-1, 1] but not clamped.
    ///
    /// The first latent moves and turns the Fourier features, the others are the layers' in their order. An item's image
    /// does not depend on its batch-mates (beyond rounding of the convolution kernels).
    pub fn synthesize(&self, w_plus: &Tensor) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "w_plus", w_plus, [None, Some(self.n_latent()), Some(self.w_dim())])?;
        let w = w_plus.f_to_kind(self.kind)?.f_unbind(1)?; // L of [B, w_dim]
        let mut x = self.input.forward(&w[0])?; // [B, C, s, s]
        for (layer, w) in self.layers.iter().zip(&w[1..]) {
            x = layer.forward(&x, w)?;
        }
        Ok(x.f_multiply_scalar(self.config.output_scale)?)
    }
}
