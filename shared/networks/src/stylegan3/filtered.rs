//! The filtered leaky ReLU (`filtered_lrelu` of the original, in the form of its reference implementation): sample up,
//! bend, cut, sample down, so that the edges the activation makes stay below what the sampling rate can hold.
//!
//! Sampling up and its filter are one transposed convolution, the filter and sampling down one strided convolution, both
//! depthwise: no inserted zeros are computed with, nothing that is thrown away is computed. Exact, borders included.

use std::f64::consts::SQRT_2;

use tch::{TchError, Tensor};

use super::config::Level;
use crate::error::LoadError;
use crate::layers::{clamped, leaky_relu};
use crate::weights::Scope;

/// The activation is computed at this multiple of the higher of the two sampling rates (`lrelu_upsampling`).
const ACTIVATION_RATE: i64 = 2;

/// A layer's filters and where they are applied.
#[derive(Debug)]
pub(super) struct FilteredLeakyRelu {
    /// The separable filter after sampling up, gain and the activation's sqrt(2) included: `[C, 1, T, 1]` and
    /// `[C, 1, 1, T]`.
    up: [Tensor; 2],
    up_factor: i64,
    /// Samples cut from each border of what the transposed convolution gives.
    crop: i64,
    down: Down,
    down_factor: i64,
    channels: i64,
    clamp: Option<f64>,
}

/// The filter before sampling down, turned as a correlation takes it.
#[derive(Debug)]
enum Down {
    /// `[C, 1, T, 1]` and `[C, 1, 1, T]`
    Separable([Tensor; 2]),
    /// `[C, 1, T, T]`
    Radial(Tensor),
}

/// Both directions of a separable filter `[T]` for a number of channels.
fn separable(filter: &Tensor, channels: i64, gain: f64) -> Result<[Tensor; 2], TchError> {
    let taps = filter.numel() as i64;
    let filter = filter.f_multiply_scalar(gain)?;
    let along = |shape: [i64; 4]| filter.f_view(shape)?.f_expand([channels, 1, shape[2], shape[3]], false);
    Ok([along([1, 1, taps, 1])?.f_contiguous()?, along([1, 1, 1, taps])?.f_contiguous()?])
}

impl FilteredLeakyRelu {
    /// Takes `up_filter` `[T]` and `down_filter` `[T]` or `[T, T]` of a layer whose convolution is `kernel` px wide and
    /// has `channels` outputs. The lengths must be a whole multiple of the sampling factors.
    pub(super) fn take(
        layer: &mut Scope<'_>,
        channels: i64,
        kernel: i64,
        from: &Level,
        to: &Level,
        clamp: Option<f64>,
    ) -> Result<Self, LoadError> {
        // The rates are powers of two that do not fall, so both divide without remainder.
        let rate = ACTIVATION_RATE * from.rate.max(to.rate);
        let (up_factor, down_factor) = (rate / from.rate, rate / to.rate);
        let [up_taps] = layer.dims("up_filter")?;
        let down_shape = layer.shape("down_filter")?;
        let down_taps = *down_shape.first().unwrap_or(&0);
        for (name, taps, factor, shape) in [
            ("up_filter", up_taps, up_factor, vec![up_taps]),
            ("down_filter", down_taps, down_factor, down_shape.clone()),
        ] {
            if taps == 0 || taps % factor != 0 {
                let expected = format!("a length that the sampling factor {factor} divides");
                return Err(layer.weights().shape_error(&layer.name(name), &expected, shape));
            }
        }
        if up_taps / up_factor != down_taps / down_factor {
            let expected = format!("{} taps for the sampling factor {down_factor}", up_taps / up_factor * down_factor);
            return Err(layer.weights().shape_error(&layer.name("down_filter"), &expected, down_shape));
        }

        // `SynthesisLayer` of the original: what the layer must have before sampling down, less what it has after
        // sampling up, the sizes the filters take off included; the halves so that sample positions stay symmetric
        // (appendix C.3). The division rounds down.
        let total = (to.size - 1) * down_factor + 1 - (from.size + kernel - 1) * up_factor + up_taps + down_taps - 2;
        let low = (total + up_factor).div_euclid(2);
        let crop = up_taps - 1 - low;
        // Factors, and with them taps, are even, so `total` is odd and both borders lose the same: the transposed
        // convolution gives (n - 1) up + taps samples, of which n up + total - taps + 1 are kept.
        if crop < 0 {
            let reason = format!("is too small for layer {}", layer.name("weight"));
            return Err(layer.weights().setting_error("margin_size", reason));
        }

        let up = layer.take("up_filter", &[up_taps])?;
        // The gain `up` in each direction makes up for the inserted zeros. Leaky ReLU commutes with a positive factor,
        // so its gain goes in too: half of it each way.
        let gain = up_factor as f64 * SQRT_2.sqrt();
        let up = layer.prepare("up_filter", || separable(&up, channels, gain))?;
        let down = if down_shape.len() == 2 {
            let filter = layer.take("down_filter", &[down_taps, down_taps])?;
            Down::Radial(layer.prepare("down_filter", || {
                let turned = filter.f_flip([0, 1])?.f_view([1, 1, down_taps, down_taps])?;
                turned.f_expand([channels, 1, down_taps, down_taps], false)?.f_contiguous()
            })?)
        } else {
            let filter = layer.take("down_filter", &[down_taps])?;
            Down::Separable(layer.prepare("down_filter", || separable(&filter.f_flip([0])?, channels, 1.0))?)
        };
        Ok(FilteredLeakyRelu { up, up_factor, crop, down, down_factor, channels, clamp })
    }

    pub(super) fn is_radial(&self) -> bool {
        matches!(self.down, Down::Radial(_))
    }

    /// `[B, C, n, n]` -> `[B, C, m, m]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (up, crop, channels) = (self.up_factor, self.crop, self.channels);
        let [rows, columns] = &self.up;
        let x = x.f_conv_transpose2d(rows, None::<&Tensor>, [up, 1], [crop, 0], [0, 0], channels, [1, 1])?;
        let x = x.f_conv_transpose2d(columns, None::<&Tensor>, [1, up], [0, crop], [0, 0], channels, [1, 1])?;
        let x = clamped(leaky_relu(&x)?, self.clamp)?;
        let down = self.down_factor;
        let sampled = |x: &Tensor, filter: &Tensor, stride: [i64; 2]| {
            x.f_conv2d(filter, None::<&Tensor>, stride, [0, 0], [1, 1], channels)
        };
        match &self.down {
            Down::Separable([rows, columns]) => sampled(&sampled(&x, rows, [down, 1])?, columns, [1, down]),
            Down::Radial(filter) => sampled(&x, filter, [down, down]),
        }
    }
}
