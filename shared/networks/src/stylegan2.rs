//! The StyleGAN2 generator (Karras et al., 2020, <https://arxiv.org/abs/1912.04958>) with the parameter names of
//! `rosinality/stylegan2-pytorch`.
//!
//! Every size is read from the file: resolution, channels per resolution, latent size, mapping depth. Noise is the
//! checkpoint's own fixed noise unless a caller gives another, so one latent always gives one image. Parameters are
//! frozen; gradients flow to the latents, to a caller's noise, and to the factors of a caller's change of the weights
//! ([`Delta`]). Latents and images are `Float` (or `Double` in a double-precision network) whatever the kind of the
//! convolutions; the mapping, the style vectors and the demodulation are computed in that wider kind too.

mod delta;
mod mapping;
mod modconv;
mod resample;

use tch::{Device, Kind, TchError, Tensor};

pub use self::delta::{Delta, LowRank};
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

    /// Renders W+ `[B, L, w_dim]` with other noise than the checkpoint's: one `[1 or B, 1, r, r]` for each of
    /// [`Generator::noise_shapes`], zero mean and unit variance if it is to be like the checkpoint's. With a `resolution`
    /// the image of that level, as [`Generator::synthesize_at`]. Gradients flow to latents and noise.
    ///
    /// # Errors
    /// When a shape, the number of noise inputs or the resolution does not fit.
    pub fn synthesize_with(
        &self,
        w_plus: &Tensor,
        noise: &[Tensor],
        resolution: Option<i64>,
    ) -> Result<Tensor, NetworkError> {
        let blocks = resolution.map_or(Ok(self.blocks.len()), |resolution| self.blocks_below(resolution))?;
        let shapes = self.noise_shapes();
        if noise.len() != shapes.len() {
            return Err(NetworkError::Argument {
                network: NETWORK,
                input: "the number of noise inputs",
                expected: shapes.len().to_string(),
                found: noise.len().to_string(),
            });
        }
        let batch = w_plus.size().first().copied();
        for (noise, [_, _, height, width]) in noise.iter().zip(shapes) {
            let rows = if noise.size().first() == Some(&1) { Some(1) } else { batch };
            expect(NETWORK, "noise", noise, [rows, Some(1), Some(height), Some(width)])?;
        }
        Ok(self.render(&self.styles_below(w_plus, blocks)?, Some(noise))?)
    }

    /// The shapes `[1, 1, r, r]` of the noise inputs, bottom up. Layers whose noise strength is exactly zero have none.
    pub fn noise_shapes(&self) -> Vec<[i64; 4]> {
        // Safe to index: a noise buffer was taken with four dimensions.
        self.noise_inputs().map(|noise| [1, 1, noise.size()[2], noise.size()[3]]).collect()
    }

    /// The checkpoint's own noise, in the order of [`Generator::noise_shapes`].
    pub fn noise(&self) -> Vec<Tensor> {
        self.noise_inputs().map(Tensor::shallow_clone).collect()
    }

    fn noise_inputs(&self) -> impl Iterator<Item = &Tensor> {
        let above = self.blocks.iter().flat_map(|block| [&block.up, &block.conv]);
        std::iter::once(&self.conv1).chain(above).filter_map(StyledConv::noise)
    }

    /// Every convolution whose weight a [`Delta`] can change: its name and its sizes `[out, in, k, k]`, bottom up.
    pub fn convolutions(&self) -> Vec<(String, Vec<i64>)> {
        let mut all = vec![
            ("conv1.conv.weight".to_owned(), self.conv1.filter_size()),
            ("to_rgb1.conv.weight".to_owned(), self.to_rgb1.filter_size()),
        ];
        for (k, block) in self.blocks.iter().enumerate() {
            all.push((format!("convs.{}.conv.weight", 2 * k), block.up.filter_size()));
            all.push((format!("convs.{}.conv.weight", 2 * k + 1), block.conv.filter_size()));
            all.push((format!("to_rgbs.{k}.conv.weight"), block.to_rgb.filter_size()));
        }
        all
    }

    /// This generator with changed weights; all that is not changed shares its memory. Gradients flow to the factors
    /// that want them, through the filters and through their demodulation.
    ///
    /// # Errors
    /// When the change names a convolution this generator lacks, or has another shape than it.
    pub fn with_delta(&self, delta: &Delta) -> Result<Self, NetworkError> {
        delta.check(&self.convolutions())?;
        let of = |name: String| delta.0.get(&name);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for (k, block) in self.blocks.iter().enumerate() {
            blocks.push(Block {
                up: block.up.changed(of(format!("convs.{}.conv.weight", 2 * k)))?,
                conv: block.conv.changed(of(format!("convs.{}.conv.weight", 2 * k + 1)))?,
                to_rgb: block.to_rgb.changed(of(format!("to_rgbs.{k}.conv.weight")))?,
            });
        }
        Ok(Generator {
            architecture: self.architecture.clone(),
            device: self.device,
            wide: self.wide,
            mapping: self.mapping.share(),
            latent_avg: self.latent_avg.as_ref().map(Tensor::shallow_clone),
            constant: self.constant.shallow_clone(),
            conv1: self.conv1.changed(of("conv1.conv.weight".to_owned()))?,
            to_rgb1: self.to_rgb1.changed(of("to_rgb1.conv.weight".to_owned()))?,
            blocks,
            skip: self.skip.share(),
        })
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
        Ok(rgb)
    }
}
