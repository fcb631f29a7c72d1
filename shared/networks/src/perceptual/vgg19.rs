//! The VGG19 of CF-CLIP's image loss (`criteria/vgg_loss.py`, `vgg19_conv.pth`), from Caffe: BGR, means taken off, bytes.

use tch::{Kind, TchError, Tensor};

use super::trunk::{Plan, Trunk, Window};
use crate::error::LoadError;
use crate::weights::Weights;

/// Means of the channels in [0, 1], blue, green, red.
const MEAN: [f64; 3] = [0.40760392, 0.45795686, 0.48501961];

/// From [0, 1] to bytes.
const BYTES: f64 = 255.0;

const HALVING: Option<Window> = Some(Window::HALVING);
const THREE: Window = Window::THREE;

/// Up to relu5_2.
const PLAN: [Plan; 5] = [
    Plan { pool: None, convolutions: &[("conv1_1", THREE), ("conv1_2", THREE)] },
    Plan { pool: HALVING, convolutions: &[("conv2_1", THREE), ("conv2_2", THREE)] },
    Plan {
        pool: HALVING,
        convolutions: &[("conv3_1", THREE), ("conv3_2", THREE), ("conv3_3", THREE), ("conv3_4", THREE)],
    },
    Plan {
        pool: HALVING,
        convolutions: &[("conv4_1", THREE), ("conv4_2", THREE), ("conv4_3", THREE), ("conv4_4", THREE)],
    },
    Plan { pool: HALVING, convolutions: &[("conv5_1", THREE), ("conv5_2", THREE)] },
];

/// In the published file, behind the feature that is compared.
const UNUSED: [&str; 2] = ["conv5_3", "conv5_4"];

#[derive(Debug)]
pub(super) struct Vgg19 {
    trunk: Trunk,
    /// `[1, 3, 1, 1]`, blue, green, red, in the wide kind.
    mean: Tensor,
}

impl Vgg19 {
    pub(super) fn take(weights: &mut Weights) -> Result<Self, LoadError> {
        let trunk = Trunk::take(weights, &PLAN)?;
        let width = trunk.widths().last().unwrap_or(3);
        for name in UNUSED {
            weights.take_optional(&format!("{name}.weight"), &[width, width, 3, 3])?;
            weights.take_optional(&format!("{name}.bias"), &[width])?;
        }
        let made = Tensor::f_from_slice(&MEAN)
            .and_then(|mean| mean.f_view([1, 3, 1, 1])?.f_to_kind(weights.wide_kind())?.f_to_device(weights.device()));
        let mean = made.map_err(|source| weights.torch_error("conv1_1.weight", source))?;
        Ok(Vgg19 { trunk, mean })
    }

    pub(super) fn smallest_side(&self) -> i64 {
        self.trunk.smallest_side()
    }

    /// relu5_2, the one map that is compared; the trunk computes in `kind`, the rest in the kind of `images`.
    pub(super) fn features(&self, images: &Tensor, kind: Kind) -> Result<Vec<Tensor>, TchError> {
        let bgr = images.f_flip([1])?;
        let unit = bgr.f_add_scalar(1.0)?.f_mul_scalar(0.5)?;
        let bytes = unit.f_sub(&self.mean)?.f_mul_scalar(BYTES)?;
        let mut ends = self.trunk.forward(&bytes.f_to_kind(kind)?)?;
        ends.drain(..ends.len().saturating_sub(1));
        ends.iter().map(|end| end.f_to_kind(images.f_kind()?)).collect()
    }

    /// The mean over channels and pixels of `|a - b|`, per image.
    pub(super) fn distance(&self, a: &[Tensor], b: &[Tensor]) -> Result<Tensor, TchError> {
        let layer = |(a, b): (&Tensor, &Tensor)| {
            a.f_sub(b)?.f_abs()?.f_mean_dim([1_i64, 2, 3].as_slice(), false, None) // [B]
        };
        let layers = a.iter().zip(b).map(layer).collect::<Result<Vec<_>, _>>()?;
        Tensor::f_stack(&layers, 0)?.f_sum_dim_intlist([0_i64].as_slice(), false, None)
    }
}
