//! ArcFace's residual network with squeeze-and-excitation (`Backbone(112, 50, mode="ir_se")` of InsightFace_Pytorch).
//!
//! All batch norms are in evaluation mode. Those behind a convolution are folded into it, and those around the last
//! linear layer into that; the one that opens each block is kept apart, because the convolution after it pads with zeros
//! that the norm must not shift.

use tch::{Kind, TchError, Tensor};

use super::Loaded;
use crate::encoder::side_of_square;
use crate::error::{LoadError, all_finite};
use crate::layers::{BATCH_NORM_EPS, Convolution};
use crate::shape::image_side;
use crate::weights::{Scope, Weights};

#[derive(Debug)]
pub(super) struct IrSe {
    input: Convolution,
    input_slope: Slope,
    body: Vec<Block>,
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Block {
    norm: Norm,
    first: Convolution,
    slope: Slope,
    second: Convolution,
    squeeze: Tensor,
    excite: Tensor,
    shortcut: Shortcut,
}

#[derive(Debug)]
enum Shortcut {
    /// The block keeps width and resolution.
    Same,
    /// It keeps the width and halves the resolution: every second pixel (max pooling with a window of one).
    EverySecond,
    /// It changes the width and halves the resolution.
    Projection(Convolution),
}

/// PReLU with one slope per channel: `slope·x + (1 - slope)·max(x, 0)`, the same function and gradient as libtorch's own,
/// whose gradient also computes that of the slopes, at two and a half times the cost of this on a CPU.
#[derive(Debug)]
struct Slope {
    slope: Tensor,
    rest: Tensor,
}

/// Batch normalisation in evaluation mode: `scale·x + shift` per channel.
#[derive(Debug)]
struct Norm {
    scale: Tensor,
    shift: Tensor,
}

impl IrSe {
    pub(super) fn take(weights: &mut Weights) -> Result<Loaded<Self>, LoadError> {
        let [stem, ..] = weights.dims::<4>("input_layer.0.weight")?;
        let input = Convolution::take(weights.scope("input_layer.0"), [stem, 3, 3], false, 1, 1)?;
        let input = input.fold_batch_norm(weights.scope("input_layer.1"))?;
        let input_slope = Slope::take(weights.scope("input_layer.2"), stem)?;

        let depth = weights.count("body.", 0, ".res_layer.1.weight").max(1);
        let mut body = Vec::with_capacity(depth);
        let (mut channels, mut halvings) = (stem, 0);
        for i in 0..depth {
            let (block, outputs) = Block::take(weights.scope(&format!("body.{i}")), channels, i == 0)?;
            halvings += usize::from(!matches!(block.shortcut, Shortcut::Same));
            channels = outputs;
            body.push(block);
        }

        let [dimensions, flat] = weights.dims("output_layer.3.weight")?;
        let side = side_of_square(flat, channels).ok_or_else(|| {
            let expected = format!("[any, {channels} × a square number]");
            weights.shape_error("output_layer.3.weight", &expected, vec![dimensions, flat])
        })?;
        let (weight, bias) = take_output(weights, channels, flat, dimensions)?;
        let input_size = image_side(weights, "output_layer.3.weight", side, halvings)?;
        Ok(Loaded { trunk: IrSe { input, input_slope, body, weight, bias }, input_size, dimensions })
    }

    /// `[B, 3, S, S]` -> `[B, D]`, not yet of unit length.
    pub(super) fn forward(&self, face: &Tensor) -> Result<Tensor, TchError> {
        let mut x = self.input_slope.forward(&self.input.forward(face)?)?;
        for block in &self.body {
            x = block.forward(&x)?;
        }
        x.f_flatten(1, -1)?.f_linear(&self.weight, Some(&self.bias))
    }
}

/// The linear layer with the batch norm before it (per channel of the map) and the one after it (per output) folded in,
/// in double precision: `W' = s₂ W s₁`, `b' = s₂ (W t₁ + b) + t₂`.
fn take_output(
    weights: &mut Weights,
    channels: i64,
    flat: i64,
    dimensions: i64,
) -> Result<(Tensor, Tensor), LoadError> {
    let before = take_norm(&mut weights.scope("output_layer.0"), channels)?;
    let weight = weights.take("output_layer.3.weight", &[dimensions, flat])?;
    let bias = weights.take("output_layer.3.bias", &[dimensions])?;
    let after = take_norm(&mut weights.scope("output_layer.4"), dimensions)?;
    let folded = tch::no_grad(|| {
        let kind = weight.f_kind()?;
        let per_pixel = |t: &Tensor| t.f_repeat_interleave_self_int(flat / channels, 0, None);
        let wide = weight.f_to_kind(Kind::Double)?;
        let shifted = wide.f_mv(&per_pixel(&before.shift)?)?.f_add(&bias.f_to_kind(Kind::Double)?)?;
        let bias = shifted.f_mul(&after.scale)?.f_add(&after.shift)?.f_to_kind(kind)?;
        let scaled = wide.f_mul(&per_pixel(&before.scale)?)?.f_mul(&after.scale.f_unsqueeze(1)?)?.f_to_kind(kind)?;
        let finite = all_finite(&scaled)? && all_finite(&bias)?;
        Ok((scaled, bias, finite))
    });
    let (weight, bias, finite) = folded.map_err(|source| weights.torch_error("output_layer.3.weight", source))?;
    if !finite {
        return Err(weights.value_error("output_layer.3.weight", "gives weights that are not finite"));
    }
    Ok((weight, bias))
}

impl Block {
    /// Gives the block and its number of output channels.
    fn take(mut scope: Scope<'_>, inputs: i64, is_first: bool) -> Result<(Self, i64), LoadError> {
        let [outputs, ..] = scope.dims::<4>("res_layer.1.weight")?;
        let projects = outputs != inputs;
        let stride = if projects || is_first { 2 } else { 1 };
        let norm = Norm::take(scope.scope("res_layer.0"), inputs)?;
        let first = Convolution::take(scope.scope("res_layer.1"), [outputs, inputs, 3], false, 1, 1)?;
        let slope = Slope::take(scope.scope("res_layer.2"), outputs)?;
        let second = Convolution::take(scope.scope("res_layer.3"), [outputs, outputs, 3], false, stride, 1)?;
        let second = second.fold_batch_norm(scope.scope("res_layer.4"))?;
        let [reduced, ..] = scope.dims::<4>("res_layer.5.fc1.weight")?;
        let squeeze = scope.take("res_layer.5.fc1.weight", &[reduced, outputs, 1, 1])?;
        let excite = scope.take("res_layer.5.fc2.weight", &[outputs, reduced, 1, 1])?;
        let shortcut = if projects {
            let conv = Convolution::take(scope.scope("shortcut_layer.0"), [outputs, inputs, 1], false, stride, 0)?;
            Shortcut::Projection(conv.fold_batch_norm(scope.scope("shortcut_layer.1"))?)
        } else if is_first {
            Shortcut::EverySecond
        } else {
            Shortcut::Same
        };
        Ok((Block { norm, first, slope, second, squeeze, excite, shortcut }, outputs))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let y = self.slope.forward(&self.first.forward(&self.norm.forward(x)?)?)?;
        let y = self.second.forward(&y)?; // [B, C, r, r]
        let point = |x: &Tensor, weight| x.f_conv2d(weight, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        let mean = y.f_mean_dim([2_i64, 3].as_slice(), true, None)?; // [B, C, 1, 1]
        let gate = point(&point(&mean, &self.squeeze)?.f_relu()?, &self.excite)?.f_sigmoid()?;
        let shortcut = match &self.shortcut {
            Shortcut::Same => x.shallow_clone(),
            Shortcut::EverySecond => x.f_slice(2, None, None, 2)?.f_slice(3, None, None, 2)?,
            Shortcut::Projection(conv) => conv.forward(x)?,
        };
        shortcut.f_addcmul(&y, &gate)
    }
}

impl Slope {
    fn take(mut scope: Scope<'_>, channels: i64) -> Result<Self, LoadError> {
        let slope = scope.take("weight", &[channels])?;
        let slope = scope.prepare("weight", || slope.f_view([1, -1, 1, 1]))?;
        let rest = scope.prepare("weight", || slope.f_neg()?.f_add_scalar(1.0))?;
        Ok(Slope { slope, rest })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_mul(&self.slope)?.f_addcmul(&x.f_relu()?, &self.rest)
    }
}

impl Norm {
    fn take(mut scope: Scope<'_>, channels: i64) -> Result<Self, LoadError> {
        let kind = scope.weights().kind();
        let Norm { scale, shift } = take_norm(&mut scope, channels)?;
        let place = |t: Tensor| scope.prepare("running_var", || t.f_view([1, -1, 1, 1])?.f_to_kind(kind));
        Ok(Norm { scale: place(scale)?, shift: place(shift)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.shift.f_addcmul(x, &self.scale)
    }
}

/// The batch norm of this scope, `[channels]` in double precision, for folding.
fn take_norm(scope: &mut Scope<'_>, channels: i64) -> Result<Norm, LoadError> {
    let mut take = |name: &str| {
        let tensor = scope.take(name, &[channels])?;
        scope.prepare(name, || tensor.f_to_kind(Kind::Double))
    };
    let (gain, offset) = (take("weight")?, take("bias")?);
    let (mean, variance) = (take("running_mean")?, take("running_var")?);
    let scale = scope.prepare("running_var", || gain.f_div(&variance.f_add_scalar(BATCH_NORM_EPS)?.f_sqrt()?))?;
    let shift = scope.prepare("running_mean", || offset.f_sub(&mean.f_mul(&scale)?))?;
    let name = scope.name("running_var");
    if !all_finite(&scale).map_err(|source| scope.weights().torch_error(&name, source))? {
        return Err(scope.weights().value_error(&name, "is negative"));
    }
    Ok(Norm { scale, shift })
}
