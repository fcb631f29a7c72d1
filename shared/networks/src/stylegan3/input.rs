//! Fourier features, the input of the synthesis network (`SynthesisInput` of the original; paper, appendix F.3).

use std::f64::consts::TAU;

use tch::{TchError, Tensor};

use super::config::Level;
use crate::error::LoadError;
use crate::latent::Affine;
use crate::weights::Scope;

/// Waves of fixed frequencies and phases, turned and moved by the first latent, then mixed.
#[derive(Debug)]
pub(super) struct FourierFeatures {
    /// `[C, 2]`, cycles per image along x and y.
    freqs: Tensor,
    /// `[C]`, cycles.
    phases: Tensor,
    /// `[3, 3]`, an inverse transform of the image that is applied last.
    transform: Tensor,
    /// From w to cosine and sine (before they are normalised), x and y.
    affine: Affine,
    /// `[C, C]`, from waves to channels, transposed, its scale included.
    weight: Tensor,
    /// `[s², 2]`, where the samples lie: x and y, the image being `[-0.5, 0.5]`.
    grid: Tensor,
    size: i64,
    bandwidth: f64,
    /// Half the sampling rate, the highest frequency it can hold.
    nyquist: f64,
}

impl FourierFeatures {
    pub(super) fn take(mut scope: Scope<'_>, channels: i64, w_dim: i64, level: &Level) -> Result<Self, LoadError> {
        let freqs = scope.take("freqs", &[channels, 2])?;
        let phases = scope.take("phases", &[channels])?;
        let transform = scope.take("transform", &[3, 3])?;
        let affine = Affine::take(scope.scope("affine"), 4, w_dim)?;
        let weight = scope.take("weight", &[channels, channels])?;
        let (size, rate) = (level.size, level.rate as f64);
        let (weight, grid) = scope.prepare("weight", || {
            let weight = weight.f_multiply_scalar((channels as f64).sqrt().recip())?.f_tr()?.f_contiguous()?;
            // Sample centres: (j + 0.5 - s/2) / rate.
            let centre = (size as f64 - 1.0) / 2.0;
            let axis = Tensor::f_arange(size, (weight.f_kind()?, weight.device()))?;
            let axis = axis.f_sub_scalar(centre)?.f_multiply_scalar(rate.recip())?;
            let x = axis.f_view([1, size])?.f_expand([size, size], false)?;
            let y = axis.f_view([size, 1])?.f_expand([size, size], false)?;
            Ok((weight, Tensor::f_stack(&[x, y], 2)?.f_view([size * size, 2])?))
        })?;
        let (bandwidth, nyquist) = (level.cutoff, rate / 2.0);
        Ok(FourierFeatures { freqs, phases, transform, affine, weight, grid, size, bandwidth, nyquist })
    }

    /// `[B, w_dim]` -> `[B, C, s, s]`.
    pub(super) fn forward(&self, w: &Tensor) -> Result<Tensor, TchError> {
        let t = self.affine.forward(w)?; // [B, 4]
        let length = t.f_narrow(1, 0, 2)?.f_norm_scalaropt_dim(2.0, [1].as_slice(), true)?; // [B, 1]
        let t = t.f_div(&length)?.f_unbind(1)?; // cosine, sine, x, y, each [B]
        let (cos, sin) = (&t[0], &t[1]);
        let rotation = Tensor::f_stack(&[cos, &sin.f_neg()?, sin, cos], 1)?.f_view([-1, 2, 2])?;
        let shift = Tensor::f_stack(&[&t[2], &t[3]], 1)?.f_neg()?.f_unsqueeze(2)?; // [B, 2, 1]
        // The image is turned first, then moved, then transformed as the file says: R T U, of which two rows matter.
        let matrix = Tensor::f_cat(&[&rotation, &rotation.f_matmul(&shift)?], 2)?.f_matmul(&self.transform)?;
        let (turned, moved) = (matrix.f_narrow(2, 0, 2)?, matrix.f_narrow(2, 2, 1)?); // [B, 2, 2] and [B, 2, 1]

        let phases = self.freqs.f_matmul(&moved)?.f_squeeze_dim(2)?.f_add(&self.phases)?; // [B, C]
        let freqs = self.freqs.f_matmul(&turned)?; // [B, C, 2]
        // Frequencies that the transform takes out of band are damped.
        let beyond = freqs.f_norm_scalaropt_dim(2.0, [2].as_slice(), false)?.f_sub_scalar(self.bandwidth)?;
        let fading = beyond.f_multiply_scalar((self.nyquist - self.bandwidth).recip())?;
        let amplitudes = fading.f_neg()?.f_add_scalar(1.0)?.f_clamp(0.0, 1.0)?; // [B, C]

        let waves = self.grid.f_matmul(&freqs.f_transpose(1, 2)?)?.f_add(&phases.f_unsqueeze(1)?)?; // [B, s², C]
        let waves = waves.f_multiply_scalar(TAU)?.f_sin()?.f_mul(&amplitudes.f_unsqueeze(1)?)?;
        let mixed = waves.f_matmul(&self.weight)?.f_transpose(1, 2)?; // [B, C, s²]
        mixed.f_contiguous()?.f_view([w.size()[0], -1, self.size, self.size])
    }
}
