//! The FIR filter `[1, 3, 3, 1]` of StyleGAN2 and the two ways the generator uses it (reference: `upfirdn2d`).
//!
//! Both forms below are exact, borders included. Plain bilinear upsampling is not: it scales the edge rows. Both are
//! depthwise convolutions: with the channels moved into the batch and one filter for all, backward is up to fifteen
//! times slower on a CPU (48 channels at 64 px).

use tch::{Device, Kind, TchError, Tensor};

use crate::layers::channels_last;

/// Gain while upsampling by two: three of four samples are inserted zeros.
const UPSAMPLE_GAIN: f64 = 4.0;

/// `outer([1, 3, 3, 1]) / 64 * 4`, the kernel as it stands in the checkpoints' `blur.kernel` and `upsample.kernel`.
pub(super) fn upsample_kernel(kind: Kind, device: Device) -> Result<Tensor, TchError> {
    let taps = Tensor::from_slice(&[1.0f64, 3.0, 3.0, 1.0]).f_to_device(device)?;
    let kernel = taps.f_outer(&taps)?;
    kernel.f_multiply_scalar(UPSAMPLE_GAIN / 64.0)?.f_to_kind(kind)
}

/// The filter (symmetric, gain included) for a number of channels.
#[derive(Debug)]
pub(super) struct Resample {
    /// `[C, 1, 4, 4]`
    fir: Tensor,
    channels: i64,
}

impl Resample {
    pub(super) fn new(channels: i64, kind: Kind, device: Device) -> Result<Self, TchError> {
        let fir = channels_last(&upsample_kernel(kind, device)?.f_expand([channels, 1, 4, 4], false)?)?;
        Ok(Resample { fir, channels })
    }

    /// The same filter, its memory shared.
    pub(super) fn share(&self) -> Self {
        Resample { fir: self.fir.shallow_clone(), channels: self.channels }
    }

    /// The filter after an up-convolution: `[B, C, 2H+1, 2W+1]` -> `[B, C, 2H, 2W]`, zero pad (1, 1).
    pub(super) fn blur(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_conv2d(&self.fir, None::<&Tensor>, [1, 1], [1, 1], [1, 1], self.channels)
    }

    /// The skip connection: zero-insert by two, pad (2, 1), filter. `[B, C, H, W]` -> `[B, C, 2H, 2W]`.
    ///
    /// Output `o` reads input `i` through tap `o - 2i + 1`, which is what a transposed convolution with stride 2 and
    /// padding 1 computes, without the inserted zeros.
    pub(super) fn upsample(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_conv_transpose2d(&self.fir, None::<&Tensor>, [2, 2], [1, 1], [0, 0], self.channels, [1, 1])
    }
}
