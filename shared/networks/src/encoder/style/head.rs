//! From the trunk's maps to latents.

use tch::{TchError, Tensor};

use super::trunk::Trunk;
use crate::error::LoadError;
use crate::ir_se::Tap;
use crate::layers::{Convolution, Linear};
use crate::weights::{Scope, Weights};

/// The first latents that are read from the middle and from the finest map.
const MIDDLE: usize = 3;
const FINE: usize = 7;

/// How the latents are read; its names tell which.
#[derive(Debug)]
pub(super) enum Head {
    /// One block a latent, `styles.{i}`.
    Blocks { styles: Vec<StyleBlock>, pyramid: Option<Pyramid> },
    /// One latent of W for all layers, `linear`, from the mean of the last map (`BackboneEncoderUsingLastLayerIntoW` of
    /// pSp).
    One { linear: Linear, n_latent: i64 },
}

/// One map to one latent: convolutions that halve it down to a point, then a linear layer with equalised learning rate.
#[derive(Debug)]
pub(super) struct StyleBlock {
    convolutions: Vec<Convolution>,
    linear: Linear,
}

/// Finer maps, each of the map below, doubled, and the trunk's of that size through a 1x1 convolution.
#[derive(Debug)]
pub(super) struct Pyramid {
    middle: Lateral,
    fine: Lateral,
}

#[derive(Debug)]
struct Lateral {
    block: usize,
    convolution: Convolution,
}

impl Head {
    /// Takes the head that makes `n_latent` latents of `w_dim`; `last` is the side of the trunk's last map.
    pub(super) fn take(
        weights: &mut Weights,
        trunk: &Trunk,
        [n_latent, w_dim]: [i64; 2],
        last: i64,
    ) -> Result<Self, LoadError> {
        if weights.contains("linear.weight") {
            let linear = Linear::take_equalised(weights.scope("linear"), trunk.channels(), w_dim)?;
            return Ok(Head::One { linear, n_latent });
        }
        let pyramid = Pyramid::take(weights, trunk)?;
        let blocks = 0..usize::try_from(n_latent).unwrap_or(0);
        let styles = blocks.map(|i| {
            let side = match (&pyramid, i) {
                (None, _) | (_, 0..MIDDLE) => last,
                (_, MIDDLE..FINE) => 2 * last,
                _ => 4 * last,
            };
            StyleBlock::take(weights.scope(&format!("styles.{i}")), [trunk.channels(), w_dim], side)
        });
        Ok(Head::Blocks { styles: styles.collect::<Result<_, _>>()?, pyramid })
    }

    /// `[B, 3 or 6, S, S]` -> `[B, L, w_dim]`, as the network says it.
    pub(super) fn forward(&self, trunk: &Trunk, images: &Tensor) -> Result<Tensor, TchError> {
        let (styles, pyramid) = match self {
            Head::Blocks { styles, pyramid } => (styles, pyramid),
            Head::One { linear, n_latent } => {
                let map = trunk.forward_visiting(images, |_, _| ())?;
                let mean = map.f_mean_dim([2_i64, 3].as_slice(), false, None)?;
                return linear.forward(&mean)?.f_unsqueeze(1)?.f_expand([-1, *n_latent, -1], false);
            }
        };
        let wanted = pyramid.as_ref().map(|pyramid| [pyramid.middle.block, pyramid.fine.block]);
        let mut found = [None, None];
        let coarse = trunk.forward_visiting(images, |block, map| {
            if let Some(place) = wanted.and_then(|wanted| wanted.iter().position(|wanted| *wanted == block)) {
                found[place] = Some(map.shallow_clone());
            }
        })?;
        let mut maps = vec![coarse];
        if let (Some(pyramid), [Some(middle), Some(fine)]) = (pyramid, found) {
            maps.push(doubled_onto(&maps[0], &pyramid.middle.convolution.forward(&middle)?)?);
            maps.push(doubled_onto(&maps[1], &pyramid.fine.convolution.forward(&fine)?)?);
        }
        let map = |i: usize| match (maps.len(), i) {
            (1, _) | (_, 0..MIDDLE) => &maps[0],
            (_, MIDDLE..FINE) => &maps[1],
            _ => &maps[2],
        };
        let latents = styles.iter().enumerate().map(|(i, style)| style.forward(map(i)));
        let latents: Vec<Tensor> = latents.collect::<Result<_, _>>()?;
        Tensor::f_stack(&latents, 1)
    }
}

/// A map resampled bilinearly (corners on corners) to the size of a finer one, and added to it.
fn doubled_onto(coarse: &Tensor, fine: &Tensor) -> Result<Tensor, TchError> {
    let size = fine.size();
    coarse.f_upsample_bilinear2d(&size[2..], true, None, None)?.f_add(fine)
}

impl Pyramid {
    /// The pyramid, where the file has one.
    fn take(weights: &mut Weights, trunk: &Trunk) -> Result<Option<Self>, LoadError> {
        if !weights.contains("latlayer1.weight") {
            return Ok(None);
        }
        let &[.., fine, middle] = trunk.taps() else {
            return Err(weights.value_error("latlayer1.weight", "the body has fewer than three resolutions"));
        };
        let mut lateral = |name: &str, Tap { block, channels }| {
            let size = [trunk.channels(), channels, 1];
            Ok(Lateral { block, convolution: Convolution::take(weights.scope(name), size, true, 1, 0)? })
        };
        Ok(Some(Pyramid { middle: lateral("latlayer1", middle)?, fine: lateral("latlayer2", fine)? }))
    }
}

impl StyleBlock {
    fn take(mut scope: Scope<'_>, [inputs, outputs]: [i64; 2], side: i64) -> Result<Self, LoadError> {
        let convolutions = (0..side.ilog2()).map(|i| {
            let inputs = if i == 0 { inputs } else { outputs };
            // Each is followed by an activation, which has a number of its own.
            Convolution::take(scope.scope(&format!("convs.{}", 2 * i)), [outputs, inputs, 3], true, 2, 1)
        });
        let convolutions = convolutions.collect::<Result<_, _>>()?;
        Ok(StyleBlock { convolutions, linear: Linear::take_equalised(scope.scope("linear"), outputs, outputs)? })
    }

    fn forward(&self, map: &Tensor) -> Result<Tensor, TchError> {
        let mut x = map.shallow_clone();
        for convolution in &self.convolutions {
            // PyTorch's own LeakyReLU, of slope 0.01 and without a gain, unlike StyleGAN2's.
            x = convolution.forward(&x)?.f_leaky_relu()?;
        }
        self.linear.forward(&x.f_flatten(1, -1)?)
    }
}
