//! The layer from features to colours.

use tch::{TchError, Tensor};

use super::delta::LowRank;
use super::modconv::{check_kernel, filter_scale};
use crate::error::LoadError;
use crate::latent::Affine;
use crate::layers::clamped;
use crate::weights::Weights;

/// The 1×1 modulated convolution to three colour channels: no demodulation, no activation.
#[derive(Debug)]
pub(super) struct ToRgb {
    affine: Affine,
    /// `[3, in, 1, 1]`, scale included.
    weight: Tensor,
    /// `[1, 3, 1, 1]`, in the wide kind.
    bias: Tensor,
    clamp: Option<f64>,
}

impl ToRgb {
    pub(super) fn take(
        weights: &mut Weights,
        prefix: &str,
        inputs: i64,
        w_dim: i64,
        clamp: Option<f64>,
    ) -> Result<Self, LoadError> {
        let (kind, wide) = (weights.kind(), weights.wide_kind());
        let mut layer = weights.scope(prefix);
        check_kernel(layer.scope("upsample"))?;
        let bias = layer.take("bias", &[1, 3, 1, 1])?;
        let bias = layer.prepare("bias", || bias.f_to_kind(wide))?;
        let mut conv = layer.scope("conv");
        let affine = Affine::take(conv.scope("modulation"), inputs, w_dim)?;
        let weight = conv.take("weight", &[1, 3, inputs, 1, 1])?;
        let weight = conv.prepare("weight", || {
            weight.f_squeeze_dim(0)?.f_to_kind(wide)?.f_multiply_scalar(filter_scale(inputs, 1))?.f_to_kind(kind)
        })?;
        Ok(ToRgb { affine, weight, bias, clamp })
    }

    /// Sizes of the filters: `[3, in, 1, 1]`.
    pub(super) fn filter_size(&self) -> Vec<i64> {
        self.weight.size()
    }

    /// The same layer, its stored weight changed by `change`. What is not changed is shared.
    pub(super) fn changed(&self, change: Option<&LowRank>) -> Result<Self, TchError> {
        let weight = match change {
            Some(change) => {
                let kind = self.weight.f_kind()?;
                let wide = self.bias.f_kind()?;
                change.added_to(&self.weight.f_to_kind(wide)?, 1)?.f_to_kind(kind)?
            }
            None => self.weight.shallow_clone(),
        };
        Ok(ToRgb { affine: self.affine.share(), weight, bias: self.bias.shallow_clone(), clamp: self.clamp })
    }

    /// The style vector `[B, in]` of a latent `[B, w_dim]`.
    pub(super) fn style(&self, w: &Tensor) -> Result<Tensor, TchError> {
        self.affine.forward(w)
    }

    /// `[B, in, r, r]` -> `[B, 3, r, r]` in the wide kind, with `skip`, the upsampled image of the level below, added.
    ///
    /// Three filters a sample are so small that the style is multiplied into them, and not into the maps.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor, skip: Option<&Tensor>) -> Result<Tensor, TchError> {
        let (batch, inputs, height, width) = x.size4()?;
        let filters =
            self.weight.f_view([1, 3, inputs])?.f_mul(&style.f_unsqueeze(1)?.f_to_kind(self.weight.f_kind()?)?)?;
        let rgb = filters.f_matmul(&x.f_flatten(2, 3)?)?.f_view([batch, 3, height, width])?;
        let rgb = clamped(rgb.f_to_kind(self.bias.f_kind()?)?.f_add(&self.bias)?, self.clamp)?;
        match skip {
            Some(skip) => rgb.f_add(skip),
            None => Ok(rgb),
        }
    }
}
