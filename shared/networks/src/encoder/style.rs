//! Encoders of the pSp family, with the names and numbers of their own programs: pSp (Richardson et al., 2021,
//! <https://arxiv.org/abs/2008.00951>), e4e (Tov et al., 2021, <https://arxiv.org/abs/2102.02766>), ReStyle (Alaluf et
//! al., 2021, <https://arxiv.org/abs/2104.02699>).
//!
//! An IR-SE50 trunk reads the image. pSp and e4e take the maps behind blocks 6, 20 and 23 (64, 32 and 16 px of 256) and
//! add each to the one below, doubled: latents 0 to 2 are read from the coarsest, 3 to 6 from the middle, the others from
//! the finest. ReStyle reads all from the last map, in five passes. What the network says is relative to the mean latent,
//! `latent_avg`, `[L, w_dim]`, which the file holds with the weights.

use tch::{Device, Kind, TchError, Tensor};

use super::EncoderArchitecture;
use crate::error::{LoadError, NetworkError};
use crate::ir_se::IrSeTrunk;
use crate::layers::Convolution;
use crate::shape::expect;
use crate::weights::{LoadReport, Scope, Weights};

const NETWORK: &str = "style encoder";
/// Height and width of the images that the programs train and run on, px.
pub(super) const IMAGE_SIZE: i64 = 256;
/// Blocks whose maps are taken, finest first.
const TAPS: [usize; 2] = [6, 20];
/// The first latents of the middle and of the finest map.
const MIDDLE: usize = 3;
const FINE: usize = 7;
/// Passes of ReStyle (`n_iters_per_batch` of its scripts).
const PASSES: usize = 5;

/// One map to one latent: convolutions that halve it down to a point, then a linear layer with equalised learning rate.
#[derive(Debug)]
struct StyleBlock {
    convolutions: Vec<Convolution>,
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Pyramid {
    middle: Convolution,
    fine: Convolution,
}

#[derive(Debug)]
pub(super) struct StyleEncoder {
    trunk: IrSeTrunk,
    styles: Vec<StyleBlock>,
    pyramid: Option<Pyramid>,
    latent_avg: Tensor,
    /// Latents after the first are differences to it.
    deltas: bool,
    restyle: bool,
    w_dim: i64,
    device: Device,
    kind: Kind,
    wide: Kind,
}

impl StyleEncoder {
    pub(super) fn load(
        mut weights: Weights,
        architecture: EncoderArchitecture,
    ) -> Result<(Self, LoadReport), LoadError> {
        use EncoderArchitecture::{E4e, RestyleE4e, RestylePsp};
        let restyle = matches!(architecture, RestylePsp | RestyleE4e);
        let deltas = matches!(architecture, E4e | RestyleE4e);
        let (device, kind, wide) = (weights.device(), weights.kind(), weights.wide_kind());
        let trunk = IrSeTrunk::take(&mut weights, if restyle { 6 } else { 3 })?;
        let [n_latent, w_dim] = weights.dims("latent_avg")?;
        let count = usize::try_from(n_latent).unwrap_or(0);
        if count <= FINE && !restyle || count == 0 {
            let what = "8 latents or more, a generator of 32 px";
            return Err(weights.shape_error("latent_avg", what, vec![n_latent, w_dim]));
        }
        let pyramid = if restyle {
            None
        } else {
            let [_, fine, ..] = weights.dims::<4>("latlayer2.weight")?;
            let [_, middle, ..] = weights.dims::<4>("latlayer1.weight")?;
            let mut lateral =
                |name: &str, inputs| Convolution::take(weights.scope(name), [trunk.channels, inputs, 1], true, 1, 0);
            Some(Pyramid { middle: lateral("latlayer1", middle)?, fine: lateral("latlayer2", fine)? })
        };
        if pyramid.is_some() && trunk.depth() <= TAPS[1] {
            let what = format!("{} blocks or more", TAPS[1] + 2);
            return Err(weights.shape_error("body", &what, vec![trunk.depth() as i64]));
        }
        // Sides of the maps, from the number of halvings: the last is IMAGE_SIZE / 16, and each step up doubles it.
        let last = IMAGE_SIZE >> trunk.halvings;
        let mut styles = Vec::with_capacity(count);
        for i in 0..count {
            let side = match (&pyramid, i) {
                (None, _) | (_, 0..MIDDLE) => last,
                (_, MIDDLE..FINE) => 2 * last,
                _ => 4 * last,
            };
            styles.push(StyleBlock::take(weights.scope(&format!("styles.{i}")), [trunk.channels, w_dim], side)?);
        }
        let latent_avg = weights.take("latent_avg", &[n_latent, w_dim])?;
        let latent_avg = latent_avg.f_to_kind(wide).map_err(|source| weights.torch_error("latent_avg", source))?;
        let report = weights.finish()?;
        let encoder = StyleEncoder { trunk, styles, pyramid, latent_avg, deltas, restyle, w_dim, device, kind, wide };
        Ok((encoder, report))
    }

    pub(super) fn n_latent(&self) -> i64 {
        self.styles.len() as i64
    }

    pub(super) fn w_dim(&self) -> i64 {
        self.w_dim
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    pub(super) fn encode(
        &self,
        images: &Tensor,
        render: &dyn Fn(&Tensor) -> Result<Tensor, NetworkError>,
    ) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "images", images, [None, Some(3), Some(IMAGE_SIZE), Some(IMAGE_SIZE)])?;
        let images = images.f_to_kind(self.kind)?;
        let start = self.latent_avg.f_unsqueeze(0)?; // [1, L, w_dim]
        if !self.restyle {
            return Ok(self.read(&images)?.f_add(&start)?);
        }
        // Rendered once for all: every item starts from the mean latent.
        let average = self.seen(&render(&start)?)?;
        let batch = images.size()[0];
        let mut latent = start.f_expand([batch, -1, -1], false)?;
        for pass in 0..PASSES {
            let current =
                if pass == 0 { average.f_expand([batch, -1, -1, -1], false)? } else { self.seen(&render(&latent)?)? };
            latent = latent.f_add(&self.read(&Tensor::f_cat(&[&images, &current], 1)?)?)?;
        }
        Ok(latent)
    }

    /// A rendered image as the encoder sees it.
    fn seen(&self, image: &Tensor) -> Result<Tensor, TchError> {
        image.f_adaptive_avg_pool2d([IMAGE_SIZE, IMAGE_SIZE])?.f_to_kind(self.kind)
    }

    /// `[B, 3 or 6, S, S]` -> `[B, L, w_dim]`, before the mean is added.
    fn read(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut taps = [const { None }; TAPS.len()];
        let coarse = self.trunk.forward_visiting(x, |i, map| {
            if let Some(place) = TAPS.iter().position(|tap| *tap == i) {
                taps[place] = Some(map.shallow_clone());
            }
        })?;
        let mut maps = vec![coarse];
        if let (Some(pyramid), [Some(fine), Some(middle)]) = (&self.pyramid, taps) {
            maps.push(doubled_onto(&maps[0], &pyramid.middle.forward(&middle)?)?);
            maps.push(doubled_onto(&maps[1], &pyramid.fine.forward(&fine)?)?);
        }
        let map = |i: usize| match (maps.len(), i) {
            (1, _) | (_, 0..MIDDLE) => &maps[0],
            (_, MIDDLE..FINE) => &maps[1],
            _ => &maps[2],
        };
        let latents = self.styles.iter().enumerate().map(|(i, style)| style.forward(map(i)));
        let latents: Vec<Tensor> = latents.collect::<Result<_, _>>()?;
        let all = Tensor::f_stack(&latents, 1)?.f_to_kind(self.wide)?; // [B, L, w_dim]
        if !self.deltas {
            return Ok(all);
        }
        let base = all.f_narrow(1, 0, 1)?;
        let others = all.f_narrow(1, 1, self.n_latent() - 1)?.f_add(&base)?;
        Tensor::f_cat(&[&base, &others], 1)
    }
}

/// A map resampled bilinearly (corners on corners) to the size of a finer one, and added to it.
fn doubled_onto(coarse: &Tensor, fine: &Tensor) -> Result<Tensor, TchError> {
    let size = fine.size();
    coarse.f_upsample_bilinear2d(&size[2..], true, None, None)?.f_add(fine)
}

impl StyleBlock {
    fn take(mut scope: Scope<'_>, [inputs, outputs]: [i64; 2], side: i64) -> Result<Self, LoadError> {
        let count = side.ilog2();
        let convolutions = (0..count).map(|i| {
            let inputs = if i == 0 { inputs } else { outputs };
            // Each is followed by an activation, which has a number of its own.
            Convolution::take(scope.scope(&format!("convs.{}", 2 * i)), [outputs, inputs, 3], true, 2, 1)
        });
        let convolutions = convolutions.collect::<Result<_, _>>()?;
        let weight = scope.take("linear.weight", &[outputs, outputs])?;
        let scale = (outputs as f64).sqrt().recip();
        let weight = scope.prepare("linear.weight", || weight.f_mul_scalar(scale))?;
        let bias = scope.take("linear.bias", &[outputs])?;
        Ok(StyleBlock { convolutions, weight, bias })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor, TchError> {
        let mut x = map.shallow_clone();
        for convolution in &self.convolutions {
            let y = convolution.forward(&x)?;
            // PyTorch's own LeakyReLU, of slope 0.01 and without a gain, unlike StyleGAN2's.
            x = y.f_leaky_relu()?;
        }
        x.f_flatten(1, -1)?.f_linear(&self.weight, Some(&self.bias))
    }
}
