//! The text mapper of CF-CLIP's amortised form, and StyleCLIP's: trained once per text, it changes a latent in one small pass.
//!
//! `w' = w + 0.1 * M(w, t)`. `M` is a network per group of layers of W+ (coarse, medium, fine) behind a layer that fuses the
//! latent with the text `t`; StyleCLIP's is not told the text and has no fusing layer. Two networks:
//!
//! - [`Published`](MapperNetwork::Published): mapper/latent_mappers.py. The text goes through a mapper per layer of W+ (the
//!   text embedding mapping, TEM), one fusing layer serves all layers, and every layer is an `EqualLinear` with a learning-rate
//!   factor of 0.01 followed by leaky ReLU and `sqrt 2`, the last one too.
//! - [`Compact`](MapperNetwork::Compact): one text network for all layers, a fusing layer per group, plain weights, and a
//!   linear last layer. It trains in a minute of one core on the demo pack.
//!
//! PixelNorm at the head of each network is over the channels of a latent, or across the layers of its group as in the
//! published code: see [`PixelNormAxis`].
//!
//! For one text everything that depends on the text alone is a constant. A [`Mapper`] is therefore the folded form: the TEM is
//! a table `[L, w_dim]`, and the text's half of the fusing layer a bias per layer. Training computes that fold at every step,
//! once for the whole batch; the artifact keeps nothing else.

mod file;
mod fold;
mod released;
mod shape;

pub use shape::{Partition, Shape, groups};

use crate::error::EditError;
use crate::train::Curve;
use domain::Digest;
use domain::edit::{MapperNetwork, PixelNormAxis};
use std::ops::Range;
use tch::{Kind, TchError, Tensor};

/// Slope of the leaky ReLU below zero.
const SLOPE: f64 = 0.2;
/// Factor on the mapper's output, as published.
const GAIN: f64 = 0.1;
const PIXEL_NORM_EPSILON: f64 = 1e-8;

/// `y = x Wᵀ + b`.
#[derive(Debug)]
struct Linear {
    weight: Tensor,
    /// `[outputs]`, or `[L, outputs]` where every layer of W+ has its own.
    bias: Tensor,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        if self.bias.dim() == 1 {
            return x.f_linear(&self.weight, Some(&self.bias));
        }
        x.f_linear(&self.weight, None::<Tensor>)?.f_add(&self.bias)
    }
}

/// The network of one group that is switched on.
#[derive(Debug)]
struct Group {
    /// The compact network's fusing layer, with the text in its bias.
    fuse: Option<Linear>,
    /// The layers after PixelNorm.
    maps: Vec<Linear>,
}

/// A mapper for one text: the change of a latent as a function of the latent.
#[derive(Debug)]
pub struct Mapper {
    shape: Shape,
    /// The published network's fusing layer, with the text in its bias `[L, w_dim]`.
    fuse: Option<Linear>,
    /// Per group of [`groups`] its network; none where it is switched off.
    groups: Vec<(Range<i64>, Option<Group>)>,
    nonlinearity: LeakyRelu,
    /// 1 for layers that may change, `[L, 1]`; none if all may.
    open: Option<Tensor>,
    /// SHA-256 of the generator's file whose latents it changes, once it is trained.
    generator: Option<Digest>,
    curve: Curve,
}

/// Leaky ReLU of slope 0.2 and what it is multiplied by.
#[derive(Debug)]
struct LeakyRelu {
    slope: Tensor,
    gain: Option<f64>,
}

impl LeakyRelu {
    fn new(network: MapperNetwork, device: tch::Device) -> Result<Self, TchError> {
        let gain = match network {
            MapperNetwork::Compact => None,
            MapperNetwork::Published => Some(std::f64::consts::SQRT_2),
        };
        Ok(Self { slope: Tensor::f_full([1], SLOPE, (Kind::Float, device))?, gain })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        // libtorch's leaky_relu takes no slope in these bindings; prelu with one weight is the same function.
        let x = x.f_prelu(&self.slope)?;
        self.gain.map_or(Ok(x.shallow_clone()), |gain| x.f_multiply_scalar(gain))
    }
}

impl Mapper {
    /// The change `0.1 * M(w)` of latents `[B, L, w_dim]`.
    ///
    /// # Errors
    /// When the shape is wrong, or libtorch fails.
    pub fn change(&self, w_plus: &Tensor) -> Result<Tensor, TchError> {
        let fused = match &self.fuse {
            Some(fuse) => self.nonlinearity.forward(&fuse.forward(w_plus)?)?,
            None => w_plus.shallow_clone(),
        };
        let parts = self.groups.iter().map(|(layers, group)| {
            let x = fused.f_narrow(1, layers.start, layers.end - layers.start)?;
            match group {
                Some(group) => self.through(group, x),
                None => x.f_zeros_like(),
            }
        });
        let change = Tensor::f_cat(&parts.collect::<Result<Vec<_>, TchError>>()?, 1)?.f_multiply_scalar(GAIN)?;
        self.open.as_ref().map_or(Ok(change.shallow_clone()), |open| change.f_mul(open))
    }

    fn through(&self, group: &Group, x: Tensor) -> Result<Tensor, TchError> {
        let x = group.fuse.as_ref().map_or(Ok(x.shallow_clone()), |fuse| fuse.forward(&x))?;
        let mut x = pixel_norm(&x, self.shape.pixel_norm)?;
        for (index, layer) in group.maps.iter().enumerate() {
            x = layer.forward(&x)?;
            let last = index + 1 == group.maps.len();
            if !(last && self.shape.network == MapperNetwork::Compact) {
                x = self.nonlinearity.forward(&x)?;
            }
        }
        Ok(x)
    }

    /// Edits latents `[B, L, w_dim]` at a strength: `w + strength * change(w)`. No gradient. For several strengths compute
    /// [`Mapper::change`] once.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn apply(&self, w_plus: &Tensor, strength: f64) -> Result<Tensor, EditError> {
        tch::no_grad(|| Ok(w_plus.f_add(&self.change(w_plus)?.f_multiply_scalar(strength)?)?))
    }

    /// Its sizes and switches.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The losses of the training it comes from; empty for one that was put together from parameters.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// Marks it as trained on this generator with these losses.
    pub(crate) fn trained(self, generator: Digest, curve: Curve) -> Self {
        Self { generator: Some(generator), curve, ..self }
    }
}

/// `x / sqrt(mean(x^2) + 1e-8)` of `[B, l, C]`, the mean over the axis.
fn pixel_norm(x: &Tensor, axis: PixelNormAxis) -> Result<Tensor, TchError> {
    let axis = match axis {
        PixelNormAxis::Channels => -1_i64,
        PixelNormAxis::Layers => 1,
    };
    let mean = x.f_square()?.f_mean_dim([axis].as_slice(), true, None)?;
    x.f_mul(&mean.f_add_scalar(PIXEL_NORM_EPSILON)?.f_rsqrt()?)
}
