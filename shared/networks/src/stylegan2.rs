//! The StyleGAN2 generator (Karras et al., 2020, <https://arxiv.org/abs/1912.04958>) with the parameter names of
//! `rosinality/stylegan2-pytorch`.
//!
//! Every size is read from the file: resolution, channels per resolution, latent sizes, mapping depth; what it cannot
//! tell is in [`GeneratorConfig`]. Networks of stylegan2-ada-pytorch are this network with a bound on activations
//! (Karras et al., 2020, <https://arxiv.org/abs/2006.06676>), once their tensors are renamed. Noise is the
//! checkpoint's own fixed noise unless a caller gives another, so one latent always gives one image. Parameters are
//! frozen; gradients flow to the latents, to a caller's noise, and to the factors of a caller's change of the weights
//! ([`Delta`]). Latents and images are `Float` (or `Double` in a double-precision network) whatever the kind of the
//! convolutions; the mapping, the style vectors and the demodulation are computed in that wider kind too.
//!
//! What a gradient costs on a CPU (`examples/generator_cost.rs`, batch 1, `Float`, random weights of configuration F, one
//! thread of a cloud machine's core): at 1024 px 1.3 s forward, 3.1 s with backward, 3.9 GiB at the peak; freed memory is kept for
//! it (`device::memory::keep_freed`). Nearly all of the memory is activations kept for the backward pass, so it grows with the batch.

mod architecture;
mod delta;
mod modconv;
mod noise;
mod resample;
mod to_rgb;

use tch::{Device, Kind, TchError, Tensor};

pub use self::architecture::{Architecture, GeneratorConfig};
pub use self::delta::{Delta, LowRank};
use self::modconv::{LayerSize, StyledConv};
use self::resample::Resample;
use self::to_rgb::ToRgb;
use crate::error::{LoadError, NetworkError};
use crate::latent::{Mapping, broadcast, refuse_conditional, truncate};
use crate::shape::{expect, image_side};
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "StyleGAN2 generator";

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
    config: GeneratorConfig,
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
    /// Builds the generator from all of the file's tensors, as [`Generator::load_with`] with the defaults: without a
    /// bound on activations.
    pub fn load(weights: Weights) -> Result<(Self, LoadReport), LoadError> {
        Generator::load_with(weights, GeneratorConfig::default())
    }

    /// Builds the generator from all of the file's tensors and what `config` says of it.
    ///
    /// Accepts the optional buffers of older checkpoints: FIR kernels (checked), `noises.noise_i` (needed wherever a
    /// noise strength is not exactly zero), `latent_avg`.
    ///
    /// # Errors
    /// When a tensor is missing, left over or of another shape than the others call for; when the network is conditioned
    /// on class labels; when `config` holds no possible value.
    pub fn load_with(mut weights: Weights, config: GeneratorConfig) -> Result<(Self, LoadReport), LoadError> {
        config.check(&weights)?;
        refuse_conditional(&weights)?;
        let (device, wide) = (weights.device(), weights.wide_kind());
        let [_, bottom, _, _] = weights.dims("input.input")?;
        let [_, w_dim] = weights.dims("conv1.conv.modulation.weight")?;
        let constant = weights.take("input.input", &[1, bottom, 4, 4])?;
        let mapping = Mapping::take(&mut weights, "style.", 1, w_dim)?;
        let latent_avg = match weights.take_optional("latent_avg", &[w_dim])? {
            Some(avg) => Some(avg.f_to_kind(wide).map_err(|source| weights.torch_error("latent_avg", source))?),
            None => None,
        };

        let clamp = config.conv_clamp;
        let size = LayerSize { inputs: bottom, outputs: bottom, w_dim, resolution: 4, up: false, clamp };
        let conv1 = StyledConv::take(&mut weights, "conv1", "noises.noise_0", size)?;
        let to_rgb1 = ToRgb::take(&mut weights, "to_rgb1", bottom, w_dim, clamp)?;

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
            let size = LayerSize { inputs, outputs, w_dim, resolution, up: true, clamp };
            let noise = |layer: usize| format!("noises.noise_{}", layer + 1);
            let up = StyledConv::take(&mut weights, &format!("convs.{up}"), &noise(up), size)?;
            let size = LayerSize { inputs: outputs, up: false, ..size };
            let conv = StyledConv::take(&mut weights, &format!("convs.{conv}"), &noise(conv), size)?;
            let to_rgb = ToRgb::take(&mut weights, &format!("to_rgbs.{level}"), outputs, w_dim, clamp)?;
            blocks.push(Block { up, conv, to_rgb });
            channels.push((resolution, outputs));
            inputs = outputs;
        }

        let skip = Resample::new(3, wide, device).map_err(|source| weights.torch_error("to_rgbs.0.bias", source))?;
        let (z_dim, mapping_layers) = (mapping.z_dim(), mapping.depth());
        let architecture = Architecture { resolution, z_dim, w_dim, mapping_layers, channels };
        let report = weights.finish()?;
        let generator = Generator {
            architecture,
            device,
            wide,
            config,
            mapping,
            latent_avg,
            constant,
            conv1,
            to_rgb1,
            blocks,
            skip,
        };
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

    /// What the generator was told beside its file.
    pub fn config(&self) -> GeneratorConfig {
        self.config
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

    /// The mean of w, `[w_dim]`, where the checkpoint has it.
    pub fn latent_avg(&self) -> Option<&Tensor> {
        self.latent_avg.as_ref()
    }

    /// Maps `z` `[B, z_dim]` to `w` `[B, w_dim]`.
    pub fn map(&self, z: &Tensor) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "z", z, [None, Some(self.z_dim())])?;
        Ok(self.mapping.forward(&z.f_to_kind(self.wide)?)?)
    }

    /// The truncation trick, `w_avg + psi (w - w_avg)`, on `w` `[B, w_dim]` or W+ `[B, L, w_dim]`.
    ///
    /// `psi` 1 changes nothing; inverted latents need none. Errors where the checkpoint has no `latent_avg`.
    pub fn truncate(&self, w: &Tensor, psi: f64) -> Result<Tensor, NetworkError> {
        let Some(avg) = &self.latent_avg else {
            return Err(NetworkError::Unsupported { network: NETWORK, reason: "truncation needs latent_avg" });
        };
        truncate(NETWORK, w, avg, psi)
    }

    /// Repeats `w` `[B, w_dim]` for every layer: W+ `[B, L, w_dim]` (a view, nothing is copied).
    pub fn broadcast(&self, w: &Tensor) -> Result<Tensor, NetworkError> {
        broadcast(NETWORK, w, self.n_latent(), self.w_dim())
    }

    /// The style vectors (S space) of W+ `[B, L, w_dim]`: `[B, channels]` each, in the order conv1, to_rgb1, then up,
    /// conv, to_rgb per resolution, `3 L / 2 - 1` in all. A block's to_rgb shares its latent with the next block's up.
    pub fn styles(&self, w_plus: &Tensor) -> Result<Vec<Tensor>, NetworkError> {
        self.styles_below(w_plus, self.blocks.len())
    }

    /// The style vectors of the 4 px level and the `blocks` above it.
    fn styles_below(&self, w_plus: &Tensor, blocks: usize) -> Result<Vec<Tensor>, NetworkError> {
        expect(NETWORK, "w_plus", w_plus, [None, Some(self.n_latent()), Some(self.w_dim())])?;
        let w = w_plus.f_to_kind(self.wide)?.f_unbind(1)?; // L of [B, w_dim]
        let mut styles = vec![self.conv1.style(&w[0])?, self.to_rgb1.style(&w[1])?];
        for (k, block) in self.blocks[..blocks].iter().enumerate() {
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

    /// The generator's own image at a lower level, `[B, 3, r, r]` with `r` = `resolution`: the sum of the RGB outputs up
    /// to that level, before it is doubled for the next. Nothing above is computed, and latents of layers above are not
    /// read (their gradients are zero).
    ///
    /// It is a cheap stand-in for the full image, not the full image made smaller: levels above add to it, and in a
    /// generator trained without a loss on the levels (StyleGAN2) its range and colours may differ.
    ///
    /// # Errors
    /// When `resolution` is no level of the generator (the error lists them), or the latent has the wrong shape.
    pub fn synthesize_at(&self, w_plus: &Tensor, resolution: i64) -> Result<Tensor, NetworkError> {
        let blocks = self.blocks_below(resolution)?;
        Ok(self.render(&self.styles_below(w_plus, blocks)?, None)?)
    }

    /// Renders style vectors in the order of [`Generator::styles`].
    pub fn synthesize_from_styles(&self, styles: &[Tensor]) -> Result<Tensor, NetworkError> {
        self.check_styles(styles)?;
        Ok(self.render(styles, None)?)
    }

    /// How many blocks it takes to reach a resolution.
    fn blocks_below(&self, resolution: i64) -> Result<usize, NetworkError> {
        let levels: Vec<_> = self.architecture.channels.iter().map(|&(side, _)| side).collect();
        levels.iter().position(|&side| side == resolution).ok_or_else(|| NetworkError::Argument {
            network: NETWORK,
            input: "the resolution",
            expected: format!("one of {levels:?}"),
            found: resolution.to_string(),
        })
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

    /// As many levels as there are styles for. `noise` holds an input for each layer that has one.
    fn render(&self, styles: &[Tensor], noise: Option<&[Tensor]>) -> Result<Tensor, TchError> {
        let mut given = noise.into_iter().flatten();
        let mut noise_of = |layer: &StyledConv| layer.noise().and_then(|_| given.next());
        let mut x = self.conv1.forward(&self.constant, &styles[0], noise_of(&self.conv1))?; // [B, C, 4, 4]
        let mut rgb = self.to_rgb1.forward(&x, &styles[1], None)?; // [B, 3, 4, 4]
        for (block, s) in self.blocks.iter().zip(styles[2..].chunks_exact(3)) {
            x = block.up.forward(&x, &s[0], noise_of(&block.up))?; // [B, C', 2r, 2r]
            x = block.conv.forward(&x, &s[1], noise_of(&block.conv))?;
            rgb = block.to_rgb.forward(&x, &s[2], Some(&self.skip.upsample(&rgb)?))?; // [B, 3, 2r, 2r]
        }
        // Networks that look at it choose their kernels by its layout, and those of others have to round as they were published.
        rgb.f_contiguous()
    }
}
