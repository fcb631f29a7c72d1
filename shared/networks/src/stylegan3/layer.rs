//! One layer: modulated convolution, bias, activation (`SynthesisLayer` and `modulated_conv2d` of the original).
//!
//! The convolution is in the "scaled activations" form, as StyleGAN2's here: `conv(x, W s)` equals `conv(x s, W)`, and
//! the demodulation needs only `sum_kk W²`.

use tch::{TchError, Tensor};

use super::config::Level;
use super::filtered::FilteredLeakyRelu;
use crate::error::LoadError;
use crate::latent::Affine;
use crate::layers::clamped;
use crate::weights::Weights;

/// Added to the squared norm of a modulated filter before its inverse square root.
const DEMODULATION_EPS: f64 = 1e-8;

/// Sizes of a layer, read from the file by the generator.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerSize {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) w_dim: i64,
    /// Height and width of the convolution kernel: 1 or 3.
    pub(super) kernel: i64,
    /// Whether it is the last layer: not demodulated, no activation, no filters.
    pub(super) to_rgb: bool,
}

#[derive(Debug)]
enum After {
    Activation {
        /// `sum_kk W²` as `[in, out]`, before the input gain.
        power: Tensor,
        relu: FilteredLeakyRelu,
    },
    Rgb {
        clamp: Option<f64>,
    },
}

/// A layer of the synthesis network.
#[derive(Debug)]
pub(super) struct Layer {
    affine: Affine,
    /// `[out, in, k, k]`, with the input gain; normalised where it is demodulated.
    weight: Tensor,
    /// `[1, out, 1, 1]`
    bias: Tensor,
    after: After,
    kernel: i64,
}

impl Layer {
    pub(super) fn take(
        weights: &mut Weights,
        prefix: &str,
        size: LayerSize,
        from: &Level,
        to: &Level,
        clamp: Option<f64>,
    ) -> Result<Self, LoadError> {
        let LayerSize { inputs, outputs, w_dim, kernel, to_rgb } = size;
        let mut layer = weights.scope(prefix);
        if kernel != 1 && kernel != 3 {
            let found = layer.shape("weight")?;
            return Err(layer.weights().shape_error(&layer.name("weight"), "a kernel of 1×1 or 3×3", found));
        }
        let weight = layer.take("weight", &[outputs, inputs, kernel, kernel])?;
        let bias = layer.take("bias", &[outputs])?;
        let bias = layer.prepare("bias", || bias.f_view([1, outputs, 1, 1]))?;
        let affine = Affine::take(layer.scope("affine"), inputs, w_dim)?;
        let magnitude = layer.take("magnitude_ema", &[])?;
        let magnitude = layer.prepare("magnitude_ema", || magnitude.f_double_value(&[]))?;
        if magnitude <= 0.0 {
            let reason = format!("is {magnitude}, expected a positive mean square");
            return Err(layer.weights().value_error(&layer.name("magnitude_ema"), reason));
        }
        // It scales the input, but may as well scale the filters.
        let input_gain = magnitude.sqrt().recip();
        if to_rgb {
            let gain = input_gain / (inputs as f64).sqrt();
            let weight = layer.prepare("weight", || weight.f_multiply_scalar(gain))?;
            return Ok(Layer { affine, weight, bias, after: After::Rgb { clamp }, kernel });
        }
        let (weight, power) = layer.prepare("weight", || {
            let mean_square = weight.f_square()?.f_mean_dim([1, 2, 3].as_slice(), true, None)?;
            let weight = weight.f_mul(&mean_square.f_rsqrt()?)?;
            let power = weight.f_square()?.f_sum_dim_intlist([2, 3].as_slice(), false, None)?.f_tr()?.f_contiguous()?;
            Ok((weight.f_multiply_scalar(input_gain)?, power))
        })?;
        let relu = FilteredLeakyRelu::take(&mut layer, outputs, kernel, from, to, clamp)?;
        Ok(Layer { affine, weight, bias, after: After::Activation { power, relu }, kernel })
    }

    pub(super) fn is_radial(&self) -> bool {
        matches!(&self.after, After::Activation { relu, .. } if relu.is_radial())
    }

    /// `[B, in, n, n]` and the layer's latent `[B, w_dim]` -> `[B, out, m, m]`.
    pub(super) fn forward(&self, x: &Tensor, w: &Tensor) -> Result<Tensor, TchError> {
        let per_channel = |x: &Tensor| x.f_unsqueeze(-1)?.f_unsqueeze(-1);
        let style = self.affine.forward(w)?; // [B, in]
        let convolved = |style: &Tensor| {
            let padding = [self.kernel - 1; 2];
            x.f_mul(&per_channel(style)?)?.f_conv2d(&self.weight, None::<&Tensor>, [1, 1], padding, [1, 1], 1)
        };
        match &self.after {
            After::Activation { power, relu } => {
                // Per sample: the demodulation cancels the factor, so it only keeps the sums in range.
                let mean_square = style.f_square()?.f_mean_dim([1].as_slice(), true, None)?; // [B, 1]
                let style = style.f_mul(&mean_square.f_rsqrt()?)?;
                let power = style.f_square()?.f_matmul(power)?; // [B, out]
                let factor = power.f_add_scalar(DEMODULATION_EPS)?.f_rsqrt()?;
                relu.forward(&self.bias.f_addcmul(&convolved(&style)?, &per_channel(&factor)?)?)
            }
            After::Rgb { clamp } => clamped(convolved(&style)?.f_add(&self.bias)?, *clamp),
        }
    }
}
