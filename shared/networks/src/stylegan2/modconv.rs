//! Modulated convolution in the "scaled activations" form, and the layer built on it.
//!
//! `conv(x, W s)` with a weight per sample equals `conv(x s, W)` with one weight for the batch, and the demodulation
//! factor needs only `sum_kk W²`, a constant: `d = rsqrt(s² · (sum_kk W²)ᵀ + 1e-8)`. Where W is frozen this saves the
//! per-sample weight gradient, about a third of forward and backward, and a weight copy per sample.

use std::f64::consts::SQRT_2;

use tch::{Kind, TchError, Tensor};

use super::delta::LowRank;
use super::resample::{Resample, upsample_kernel};
use crate::error::LoadError;
use crate::latent::Affine;
use crate::layers::{Activate, channels_last, convolve_in_company, in_company};
use crate::weights::{Scope, Weights};
use crate::winograd::{self, Winograd};

/// Added to the squared norm of a modulated filter before its inverse square root.
const DEMODULATION_EPS: f64 = 1e-8;
/// How far a stored FIR kernel may be from the exact one; its values are exact even in F16.
const KERNEL_TOLERANCE: f64 = 1e-6;

/// Sizes of a layer, read from the file by the generator.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerSize {
    pub(super) inputs: i64,
    pub(super) outputs: i64,
    pub(super) w_dim: i64,
    /// Height and width of the layer's output, px.
    pub(super) resolution: i64,
    /// Whether the layer doubles the resolution.
    pub(super) up: bool,
    /// The bound on the layer's output, if any.
    pub(super) clamp: Option<f64>,
}

/// Takes the optional FIR buffer of older checkpoints and checks that it is the kernel this code uses.
pub(super) fn check_kernel(mut scope: Scope<'_>) -> Result<(), LoadError> {
    let Some(found) = scope.take_optional("kernel", &[4, 4])? else { return Ok(()) };
    let difference = scope.prepare("kernel", || {
        let exact = upsample_kernel(Kind::Double, found.device())?;
        found.f_to_kind(Kind::Double)?.f_sub(&exact)?.f_abs()?.f_amax([0, 1].as_slice(), false)
    })?;
    let name = scope.name("kernel");
    match difference.f_double_value(&[]) {
        Ok(difference) if difference <= KERNEL_TOLERANCE => Ok(()),
        Ok(_) => Err(scope.weights().value_error(&name, "is not outer([1, 3, 3, 1]) / 16, the only filter supported")),
        Err(source) => Err(scope.weights().torch_error(&name, source)),
    }
}

/// A layer's noise input.
#[derive(Debug)]
struct LayerNoise {
    /// The checkpoint's own, `[1, 1, r, r]`, in the wide kind.
    buffer: Tensor,
    /// `sqrt(2) · strength`.
    gain: f64,
    /// `gain · buffer` in the kind of the convolutions.
    scaled: Tensor,
}

/// The filters of a modulated convolution as they are computed with.
#[derive(Debug)]
struct Filters {
    /// `[out, in, 3, 3]` in the wide kind, scale included: where a change of the weights starts from. Shares memory with
    /// `weight` unless the kinds differ.
    exact: Tensor,
    /// `[out, in, 3, 3]`, or `[in, out, 3, 3]` for the transposed convolution of an up layer.
    weight: Tensor,
    /// The same with fewer products, where that is faster.
    fast: Option<Winograd>,
    /// `sum_kk W²` as `[in, out]`, in the wide kind.
    power: Tensor,
}

impl Filters {
    /// For maps `side` px wide and high. Gradients flow to `exact` if it wants any.
    fn new(exact: Tensor, up: bool, kind: Kind, side: i64) -> Result<Self, TchError> {
        let scaled = if kind == Kind::Half {
            // Demodulation cancels any factor per filter, so in F16 each filter is brought near 1/sqrt(fan-in) to keep
            // the sums in range (as NVIDIA's networks do).
            let peak = exact.f_abs()?.f_amax([1, 2, 3].as_slice(), true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
            exact.f_div(&peak)?.f_multiply_scalar(filter_scale(exact.size()[1], 3))?
        } else {
            exact.shallow_clone()
        };
        let power = scaled.f_square()?.f_sum_dim_intlist([2, 3].as_slice(), false, None)?.f_tr()?.f_contiguous()?;
        let oriented = if up { scaled.f_transpose(0, 1)? } else { scaled };
        let weight = channels_last(&oriented.f_to_kind(kind)?)?;
        // Weights in training change in every step, and making them ready would take longer than it saves.
        let fast = !up && !weight.requires_grad() && winograd::suits(&weight, side);
        let fast = fast.then(|| Winograd::new(&weight)).transpose()?;
        let exact = match (kind == exact.f_kind()?, up) {
            (true, true) => weight.f_transpose(0, 1)?,
            (true, false) => weight.shallow_clone(),
            (false, _) => exact,
        };
        Ok(Filters { exact, weight, fast, power })
    }

    fn share(&self) -> Self {
        let [exact, weight, power] = [&self.exact, &self.weight, &self.power].map(Tensor::shallow_clone);
        Filters { exact, weight, fast: self.fast.as_ref().map(Winograd::share), power }
    }
}

/// A 3×3 modulated, demodulated convolution with noise, bias and activation: `StyledConv` in the reference.
#[derive(Debug)]
pub(super) struct StyledConv {
    affine: Affine,
    filters: Filters,
    /// `None` where the strength is exactly zero.
    noise: Option<LayerNoise>,
    /// `sqrt(2) · bias`, `[1, out, 1, 1]`.
    bias: Tensor,
    /// Present in an up layer: the filter after its transposed convolution.
    blur: Option<Resample>,
    /// The bound, after the activation.
    clamp: Option<f64>,
    /// Height and width of the output, px.
    side: i64,
}

impl StyledConv {
    /// `noise_name` is the layer's fixed noise buffer. Without it the layer loads only if its strength is exactly zero:
    /// random noise in its place would make two renderings of one latent differ.
    pub(super) fn take(
        weights: &mut Weights,
        prefix: &str,
        noise_name: &str,
        size: LayerSize,
    ) -> Result<Self, LoadError> {
        let LayerSize { inputs, outputs, w_dim, resolution, up, clamp } = size;
        let (kind, wide) = (weights.kind(), weights.wide_kind());
        let noise_buffer = weights.take_optional(noise_name, &[1, 1, resolution, resolution])?;
        let mut layer = weights.scope(prefix);
        let strength = layer.take("noise.weight", &[1])?;
        let strength_value =
            strength.f_double_value(&[0]).map_err(|source| layer.weights().torch_error(noise_name, source))?;
        let noise = match noise_buffer {
            _ if strength_value == 0.0 => None,
            Some(buffer) => Some(layer.prepare("noise.weight", || {
                let (buffer, gain) = (buffer.f_to_kind(wide)?, strength_value * SQRT_2);
                let scaled = buffer.f_multiply_scalar(gain)?.f_to_kind(kind)?;
                Ok(LayerNoise { buffer, gain, scaled })
            })?),
            None => return Err(layer.weights().missing(noise_name)),
        };
        let bias = layer.take("activate.bias", &[outputs])?;
        let bias = layer.prepare("activate.bias", || {
            bias.f_to_kind(wide)?.f_multiply_scalar(SQRT_2)?.f_to_kind(kind)?.f_view([1, outputs, 1, 1])
        })?;

        let mut conv = layer.scope("conv");
        if up {
            check_kernel(conv.scope("blur"))?;
        }
        let affine = Affine::take(conv.scope("modulation"), inputs, w_dim)?;
        let stored = conv.take("weight", &[1, outputs, inputs, 3, 3])?;
        let filters = conv.prepare("weight", || {
            let exact = stored.f_squeeze_dim(0)?.f_to_kind(wide)?.f_multiply_scalar(filter_scale(inputs, 3))?;
            Filters::new(exact, up, kind, resolution)
        })?;
        let blur = match up.then(|| Resample::new(outputs, kind, conv.weights().device())) {
            Some(blur) => Some(blur.map_err(|source| conv.weights().torch_error(&conv.name("blur.kernel"), source))?),
            None => None,
        };
        Ok(StyledConv { affine, filters, noise, bias, blur, clamp, side: resolution })
    }

    /// The style vector `[B, in]` of a latent `[B, w_dim]`.
    pub(super) fn style(&self, w: &Tensor) -> Result<Tensor, TchError> {
        self.affine.forward(w)
    }

    /// The checkpoint's noise `[1, 1, r, r]` of a layer that has any.
    pub(super) fn noise(&self) -> Option<&Tensor> {
        self.noise.as_ref().map(|noise| &noise.buffer)
    }

    /// Sizes of the filters: `[out, in, 3, 3]`.
    pub(super) fn filter_size(&self) -> Vec<i64> {
        self.filters.exact.size()
    }

    /// The same layer, its stored weight changed by `change`. What is not changed is shared.
    pub(super) fn changed(&self, change: Option<&LowRank>) -> Result<Self, TchError> {
        let filters = match change {
            Some(change) => {
                let kind = self.filters.weight.f_kind()?;
                Filters::new(change.added_to(&self.filters.exact, 3)?, self.blur.is_some(), kind, self.side)?
            }
            None => self.filters.share(),
        };
        let noise = self.noise.as_ref().map(|noise| LayerNoise {
            buffer: noise.buffer.shallow_clone(),
            gain: noise.gain,
            scaled: noise.scaled.shallow_clone(),
        });
        let blur = self.blur.as_ref().map(Resample::share);
        Ok(StyledConv {
            affine: self.affine.share(),
            filters,
            noise,
            bias: self.bias.shallow_clone(),
            blur,
            clamp: self.clamp,
            side: self.side,
        })
    }

    /// `[B or 1, in, r, r]` -> `[B, out, r, r]`, or `[B, out, 2r, 2r]` for an up layer. `noise` `[B or 1, 1, r, r]`
    /// stands for the checkpoint's, in a layer that has any.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor, noise: Option<&Tensor>) -> Result<Tensor, TchError> {
        let Filters { weight, fast, power, .. } = &self.filters;
        let kind = weight.f_kind()?;
        // F16 only: like the filters, a style's overall size cancels, so its largest entry is brought to one.
        let style = if kind == Kind::Half {
            let peak = style.f_abs()?.f_amax([1].as_slice(), true)?.f_clamp_min(f64::from(f32::MIN_POSITIVE))?;
            &style.f_div(&peak)?
        } else {
            style
        };
        let x = x.f_mul(&per_channel(style, kind)?)?; // [B, in, r, r]
        let convolve = |x: &Tensor| match (&self.blur, fast) {
            (Some(blur), _) => {
                // [B, out, 2r+1, 2r+1] -> [B, out, 2r, 2r]
                let y = x.f_conv_transpose2d(weight, None::<&Tensor>, [2, 2], [0, 0], [0, 0], 1, [1, 1])?;
                blur.blur(&y)
            }
            (None, Some(fast)) => fast.forward(x),
            (None, None) => x.f_conv2d(weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1), // [B, out, r, r]
        };
        let y = convolve_in_company(&x, convolve)?;
        drop(x);
        let power = in_company(&style.f_square()?, |squares| squares.f_matmul(power))?; // [B, out]
        // The gain sqrt(2) of the activation is in this factor, in the noise and in the bias.
        let factor = power.f_add_scalar(DEMODULATION_EPS)?.f_rsqrt()?.f_multiply_scalar(SQRT_2)?;
        let given = match (&self.noise, noise) {
            (Some(own), Some(given)) => {
                let given = given.f_to_kind(own.buffer.f_kind()?)?;
                Some(&given.f_multiply_scalar(own.gain)?.f_to_kind(kind)?)
            }
            (Some(own), None) => Some(&own.scaled),
            (None, _) => None,
        };
        Activate { factor: &per_channel(&factor, kind)?, bias: &self.bias, noise: given, clamp: self.clamp }.on(y)
    }
}

/// Equalised learning rate: stored filters have unit variance, `1/sqrt(fan-in)` is applied at run time.
pub(super) fn filter_scale(inputs: i64, size: i64) -> f64 {
    ((inputs * size * size) as f64).sqrt().recip()
}

/// `[B, C]` -> `[B, C, 1, 1]` in the kind of the convolutions.
pub(super) fn per_channel(x: &Tensor, kind: Kind) -> Result<Tensor, TchError> {
    x.f_unsqueeze(-1)?.f_unsqueeze(-1)?.f_to_kind(kind)
}
