//! LPIPS, version 0.1 (richzhang/PerceptualSimilarity): squared differences of features that are normalised over the
//! channels, weighted by one learnt number per channel, averaged over the image, summed over five layers.

use tch::{Kind, TchError, Tensor};

use super::trunk::{Plan, Trunk, Window};
use crate::error::LoadError;
use crate::weights::Weights;

/// Mean and deviation of ImageNet's channels, stated for images in [-1, 1] (LPIPS' `ScalingLayer`).
const SHIFT: [f64; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f64; 3] = [0.458, 0.448, 0.450];

/// Added to the length of a feature vector, outside the root.
const EPS: f64 = 1e-10;

const POOL: Option<Window> = Some(Window { side: 3, stride: 2, padding: 0 });

/// torchvision's AlexNet up to relu5.
pub(super) const ALEX: [Plan; 5] = [
    Plan { pool: None, convolutions: &[("features.0", Window { side: 11, stride: 4, padding: 2 })] },
    Plan { pool: POOL, convolutions: &[("features.3", Window { side: 5, stride: 1, padding: 2 })] },
    Plan { pool: POOL, convolutions: &[("features.6", Window::THREE)] },
    Plan { pool: None, convolutions: &[("features.8", Window::THREE)] },
    Plan { pool: None, convolutions: &[("features.10", Window::THREE)] },
];

const HALVING: Option<Window> = Some(Window::HALVING);
const THREE: Window = Window::THREE;

/// torchvision's VGG16 up to relu5_3.
pub(super) const VGG16: [Plan; 5] = [
    Plan { pool: None, convolutions: &[("features.0", THREE), ("features.2", THREE)] },
    Plan { pool: HALVING, convolutions: &[("features.5", THREE), ("features.7", THREE)] },
    Plan { pool: HALVING, convolutions: &[("features.10", THREE), ("features.12", THREE), ("features.14", THREE)] },
    Plan { pool: HALVING, convolutions: &[("features.17", THREE), ("features.19", THREE), ("features.21", THREE)] },
    Plan { pool: HALVING, convolutions: &[("features.24", THREE), ("features.26", THREE), ("features.28", THREE)] },
];

#[derive(Debug)]
pub(super) struct Lpips {
    trunk: Trunk,
    /// Per layer, the weights of the channels: `[1, C, 1, 1]`, in the wide kind.
    heads: Vec<Tensor>,
    /// `[1, 3, 1, 1]`, in the wide kind.
    shift: Tensor,
    scale: Tensor,
}

impl Lpips {
    pub(super) fn take(weights: &mut Weights, plan: &[Plan]) -> Result<Self, LoadError> {
        let wide = weights.wide_kind();
        let trunk = Trunk::take(weights, plan)?;
        let mut heads = Vec::with_capacity(plan.len());
        for (k, channels) in trunk.widths().enumerate() {
            let name = format!("lin{k}.model.1.weight");
            let head = weights.take(&name, &[1, channels, 1, 1])?;
            heads.push(head.f_to_kind(wide).map_err(|source| weights.torch_error(&name, source))?);
        }
        let device = weights.device();
        let constant = |values: [f64; 3]| {
            let made = Tensor::f_from_slice(&values).and_then(|t| t.f_view([1, 3, 1, 1])?.f_to_kind(wide));
            let placed = made.and_then(|t| t.f_to_device(device));
            placed.map_err(|source| weights.torch_error("features.0.weight", source))
        };
        Ok(Lpips { trunk, heads, shift: constant(SHIFT)?, scale: constant(SCALE)? })
    }

    pub(super) fn smallest_side(&self) -> i64 {
        self.trunk.smallest_side()
    }

    /// Unit vectors over the channels at every pixel of every layer; the trunk computes in `kind`, the rest in the kind
    /// of `images`.
    pub(super) fn features(&self, images: &Tensor, kind: Kind) -> Result<Vec<Tensor>, TchError> {
        let wide = images.f_kind()?;
        let scaled = images.f_sub(&self.shift)?.f_div(&self.scale)?;
        let normalise = |x: &Tensor| {
            let x = x.f_to_kind(wide)?;
            // Not the root of a sum of squares: its derivative at zero is infinite, and would turn the image's gradient
            // into NaN where every channel is so quiet that its square is lost. That of the norm is taken as zero there.
            let length = x.f_norm_scalaropt_dim(2, [1_i64].as_slice(), true)?;
            x.f_div(&length.f_add_scalar(EPS)?)
        };
        self.trunk.forward(&scaled.f_to_kind(kind)?)?.iter().map(normalise).collect()
    }

    pub(super) fn distance(&self, a: &[Tensor], b: &[Tensor]) -> Result<Tensor, TchError> {
        let layer = |((a, b), head): ((&Tensor, &Tensor), &Tensor)| {
            let squares = a.f_sub(b)?.f_square()?; // [B, C, h, w]
            let pixels = squares.f_conv2d(head, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)?; // [B, 1, h, w]
            pixels.f_mean_dim([1_i64, 2, 3].as_slice(), false, None)
        };
        let layers = a.iter().zip(b).zip(&self.heads).map(layer).collect::<Result<Vec<_>, _>>()?;
        Tensor::f_stack(&layers, 0)?.f_sum_dim_intlist([0_i64].as_slice(), false, None)
    }
}
