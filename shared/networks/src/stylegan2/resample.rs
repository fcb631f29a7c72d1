//! The FIR filter `[1, 3, 3, 1]` of StyleGAN2 and the two ways the generator uses it (reference: `upfirdn2d`).
//!
//! Both forms below are exact, borders included. Plain bilinear upsampling is not: it scales the edge rows.

use tch::{Device, Kind, TchError, Tensor};

/// Gain while upsampling by two: three of four samples are inserted zeros.
const UPSAMPLE_GAIN: f64 = 4.0;

/// `outer([1, 3, 3, 1]) / 64 * 4`, the kernel as it stands in the checkpoints' `blur.kernel` and `upsample.kernel`.
pub(super) fn upsample_kernel(kind: Kind, device: Device) -> Result<Tensor, TchError> {
    let taps = Tensor::from_slice(&[1.0f64, 3.0, 3.0, 1.0]).f_to_device(device)?;
    let kernel = taps.f_outer(&taps)?;
    kernel.f_multiply_scalar(UPSAMPLE_GAIN / 64.0)?.f_to_kind(kind)
}

/// Filters with the kernel `fir` (`[4, 4]`, symmetric, gain included).
#[derive(Debug)]
pub(super) struct Resample {
    fir: Tensor,
}

impl Resample {
    pub(super) fn new(kind: Kind, device: Device) -> Result<Self, TchError> {
        Ok(Resample { fir: upsample_kernel(kind, device)?.f_view([1, 1, 4, 4])? })
    }

    /// The filter after an up-convolution: `[B, C, 2H+1, 2W+1]` -> `[B, C, 2H, 2W]`, zero pad (1, 1).
    pub(super) fn blur(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (b, c, h, w) = x.size4()?;
        // Channels go into the batch: one filter for all of them, where a depthwise convolution would need C copies.
        let x = x.f_reshape([b * c, 1, h, w])?; // [B*C, 1, 2H+1, 2W+1]
        x.f_conv2d(&self.fir, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1)?.f_view([b, c, h - 1, w - 1])
    }

    /// The skip connection: zero-insert by two, pad (2, 1), filter. `[B, C, H, W]` -> `[B, C, 2H, 2W]`.
    ///
    /// Output `o` reads input `i` through tap `o - 2i + 1`, which is what a transposed convolution with stride 2 and
    /// padding 1 computes, without the inserted zeros.
    pub(super) fn upsample(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (b, c, h, w) = x.size4()?;
        let x = x.f_reshape([b * c, 1, h, w])?;
        let y = x.f_conv_transpose2d(&self.fir, None::<&Tensor>, [2, 2], [1, 1], [0, 0], 1, [1, 1])?;
        y.f_view([b, c, 2 * h, 2 * w])
    }
}
