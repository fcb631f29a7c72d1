//! The StyleGAN2 generator (Karras et al., 2020, <https://arxiv.org/abs/1912.04958>) with the parameter names of
//! `rosinality/stylegan2-pytorch`.
//!
//! Every size is read from the file: resolution, channels per resolution, latent size, mapping depth. Noise is the
//! checkpoint's own fixed noise, so one latent always gives one image. Parameters are frozen; gradients flow to the
//! latents. Latents and images are `Float` (or `Double` in a double-precision network) whatever the kind of the
//! convolutions; the mapping, the style vectors and the demodulation are computed in that wider kind too.

mod mapping;
mod modconv;
mod resample;

use tch::{Device, Kind, TchError, Tensor};

use self::mapping::Mapping;
use self::modconv::{LayerSize, StyledConv, ToRgb};
use self::resample::Resample;
use crate::error::{LoadError, NetworkError};
use crate::shape::{expect, image_side};
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "StyleGAN2 generator";

/// The sizes of a generator, as its file has them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Architecture {
    /// Height and width of the image, px.
    pub resolution: i64,
    /// Size of z and w.
    pub w_dim: i64,
    /// Layers of the mapping network, without the normalisation.
    pub mapping_layers: usize,
    /// `(resolution, channels)` from 4 px up.
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

/// One resolution above 4 px.
#[derive(Debug)]
struct Block {
    up: StyledConv,
    conv: StyledConv,
    to_rgb: ToRgb,
}

/// A frozen StyleGAN2 generator.
#[derive(Debug)]
pub struct Generator {
    architecture: Architecture,
    device: Device,
    wide: Kind,
    mapping: Mapping,
    latent_avg: Option<Tensor>,
    constant: Tensor,
    conv1: StyledConv,
    to_rgb1: ToRgb,
    blocks: Vec<Block>,
    /// Doubles the three-channel image of the level below.
    skip: Resample,
}

impl Generator {
    /// Builds the generator from all of the file's tensors.
    ///
    /// Accepts the optional buffers of older checkpoints: FIR kernels (checked), `noises.noise_i` (needed wherever a
    /// noise strength is not exactly zero), `latent_avg`.
    pub fn load(mut weights: Weights) -> Result<(Self, LoadReport), LoadError> {
        let (device, wide) = (weights.device(), weights.wide_kind());
        let [_, bottom, _, _] = weights.dims("input.input")?;
        let [_, w_dim] = weights.dims("conv1.conv.modulation.weight")?;
        let constant = weights.take("input.input", &[1, bottom, 4, 4])?;
        let mapping = Mapping::take(&mut weights, w_dim)?;
        let latent_avg = match weights.take_optional("latent_avg", &[w_dim])? {
            Some(avg) => Some(avg.f_to_kind(wide).map_err(|source| weights.torch_error("latent_avg", source))?),
            None => None,
        };

        let size = LayerSize { inputs: bottom, outputs: bottom, w_dim, resolution: 4, up: false };
        let conv1 = StyledConv::take(&mut weights, "conv1", "noises.noise_0", size)?;
        let to_rgb1 = ToRgb::take(&mut weights, "to_rgb1", bottom, w_dim)?;

        // An odd count leaves the last block without its second convolution, which `take` then reports as missing.
        let levels = weights.count("convs.", 0, ".conv.weight").div_ceil(2);
        image_side(&weights, &format!("convs.{}.conv.weight", (2 * levels).saturating_sub(1)), 4, levels)?;
        let mut channels = vec![(4, bottom)];
        let mut blocks = Vec::with_capacity(levels);
        let (mut inputs, mut resolution) = (bottom, 4);
        for level in 0..levels {
            resolution *= 2;
            let (up, conv) = (2 * level, 2 * level + 1);
            let [_, outputs, ..] = weights.dims::<5>(&format!("convs.{up}.conv.weight"))?;
            let size = LayerSize { inputs, outputs, w_dim, resolution, up: true };
            let noise = |layer: usize| format!("noises.noise_{}", layer + 1);
            let up = StyledConv::take(&mut weights, &format!("convs.{up}"), &noise(up), size)?;
            let size = LayerSize { inputs: outputs, up: false, ..size };
            let conv = StyledConv::take(&mut weights, &format!("convs.{conv}"), &noise(conv), size)?;
            let to_rgb = ToRgb::take(&mut weights, &format!("to_rgbs.{level}"), outputs, w_dim)?;
            blocks.push(Block { up, conv, to_rgb });
            channels.push((resolution, outputs));
            inputs = outputs;
        }

        let skip = Resample::new(3, wide, device).map_err(|source| weights.torch_error("to_rgbs.0.bias", source))?;
        let architecture = Architecture { resolution, w_dim, mapping_layers: mapping.depth(), channels };
        let report = weights.finish()?;
        let generator =
            Generator { architecture, device, wide, mapping, latent_avg, constant, conv1, to_rgb1, blocks, skip };
        Ok((generator, report))
    }

    /// The sizes read from the file.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Latents in W+ (the `L` of `[B, L, w_dim]`).
    pub fn n_latent(&self) -> i64 {
        self.architecture.n_latent()
    }

    /// Size of z and w.
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

    /// The mean of w, `[w_dim]`, where the checkpoint has it.
    pub fn latent_avg(&self) -> Option<&Tensor> {
        self.latent_avg.as_ref()
    }

    /// Maps `z` `[B, w_dim]` to `w` `[B, w_dim]`.
    pub fn map(&self, z: &Tensor) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "z", z, [None, Some(self.w_dim())])?;
        Ok(self.mapping.forward(&z.f_to_kind(self.wide)?)?)
    }

    /// The truncation trick, `w_avg + psi (w - w_avg)`, on `w` `[B, w_dim]` or W+ `[B, L, w_dim]`.
    ///
    /// `psi` 1 changes nothing; inverted latents need none. Errors where the checkpoint has no `latent_avg`.
    pub fn truncate(&self, w: &Tensor, psi: f64) -> Result<Tensor, NetworkError> {
        if w.dim() == 3 {
            expect(NETWORK, "w_plus", w, [None, None, Some(self.w_dim())])?;
        } else {
            expect(NETWORK, "w", w, [None, Some(self.w_dim())])?;
        }
        let Some(avg) = &self.latent_avg else {
            return Err(NetworkError::Unsupported { network: NETWORK, reason: "truncation needs latent_avg" });
        };
        Ok(w.f_to_kind(self.wide)?.f_sub(avg)?.f_multiply_scalar(psi)?.f_add(avg)?)
    }

    /// Repeats `w` `[B, w_dim]` for every layer: W+ `[B, L, w_dim]` (a view, nothing is copied).
    pub fn broadcast(&self, w: &Tensor) -> Result<Tensor, NetworkError> {
        let [b, d] = expect(NETWORK, "w", w, [None, Some(self.w_dim())])?;
        Ok(w.f_unsqueeze(1)?.f_expand([b, self.n_latent(), d], false)?)
    }

    /// The style vectors (S space) of W+ `[B, L, w_dim]`: `[B, channels]` each, in the order conv1, to_rgb1, then up,
    /// conv, to_rgb per resolution, `3 L / 2 - 1` in all. A block's to_rgb shares its latent with the next block's up.
    pub fn styles(&self, w_plus: &Tensor) -> Result<Vec<Tensor>, NetworkError> {
        expect(NETWORK, "w_plus", w_plus, [None, Some(self.n_latent()), Some(self.w_dim())])?;
        let w = w_plus.f_to_kind(self.wide)?.f_unbind(1)?; // L of [B, w_dim]
        let mut styles = vec![self.conv1.style(&w[0])?, self.to_rgb1.style(&w[1])?];
        for (k, block) in self.blocks.iter().enumerate() {
            styles.push(block.up.style(&w[2 * k + 1])?);
            styles.push(block.conv.style(&w[2 * k + 2])?);
            styles.push(block.to_rgb.style(&w[2 * k + 3])?);
        }
        Ok(styles)
    }

    /// Renders W+ `[B, L, w_dim]` to images `[B, 3, R, R]`, RGB, nominally in [-1, 1] but not clamped.
    ///
    /// Fixed noise; an item's image does not depend on its batch-mates (beyond rounding of the convolution kernels).
    pub fn synthesize(&self, w_plus: &Tensor) -> Result<Tensor, NetworkError> {
        self.synthesize_from_styles(&self.styles(w_plus)?)
    }

    /// Renders style vectors in the order of [`Generator::styles`].
    pub fn synthesize_from_styles(&self, styles: &[Tensor]) -> Result<Tensor, NetworkError> {
        self.check_styles(styles)?;
        Ok(self.render(styles)?)
    }

    fn check_styles(&self, styles: &[Tensor]) -> Result<(), NetworkError> {
        let bottom = self.architecture.channels[0].1;
        let mut inputs = vec![bottom, bottom];
        for pair in self.architecture.channels.windows(2) {
            inputs.extend([pair[0].1, pair[1].1, pair[1].1]);
        }
        if styles.len() != inputs.len() {
            return Err(NetworkError::Shape {
                network: NETWORK,
                input: "list of styles",
                expected: format!("[{}]", inputs.len()),
                found: vec![styles.len() as i64],
            });
        }
        let batch = styles[0].size().first().copied();
        for (style, channels) in styles.iter().zip(inputs) {
            expect(NETWORK, "style", style, [batch, Some(channels)])?;
        }
        Ok(())
    }

    fn render(&self, styles: &[Tensor]) -> Result<Tensor, TchError> {
        let mut x = self.conv1.forward(&self.constant, &styles[0])?; // [B, C, 4, 4]
        let mut rgb = self.to_rgb1.forward(&x, &styles[1], None)?; // [B, 3, 4, 4]
        for (block, s) in self.blocks.iter().zip(styles[2..].chunks_exact(3)) {
            x = block.up.forward(&x, &s[0])?; // [B, C', 2r, 2r]
            x = block.conv.forward(&x, &s[1])?;
            rgb = block.to_rgb.forward(&x, &s[2], Some(&self.skip.upsample(&rgb)?))?; // [B, 3, 2r, 2r]
        }
        Ok(rgb)
    }
}
