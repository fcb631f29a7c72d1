//! The residual blocks with squeeze-and-excitation of ArcFace's IR-SE networks (`Backbone(…, mode="ir_se")` of
//! InsightFace_Pytorch): the trunk of the identity network and of the encoders of the pSp family.
//!
//! All batch norms are in evaluation mode. Every step rounds as the reference's does, for the sake of the gradient
//! ([`BatchNorm`]).

use tch::{TchError, Tensor};

use crate::error::LoadError;
use crate::layers::{BatchNorm, Convolution, Normalised};
use crate::weights::{Scope, Weights};

/// `input_layer` and `body`.
#[derive(Debug)]
pub(crate) struct IrSeTrunk {
    input: Normalised,
    slope: Slope,
    body: Vec<Block>,
    /// Channels of the last map.
    pub(crate) channels: i64,
    /// How often the resolution is halved.
    pub(crate) halvings: usize,
    /// The last map of each resolution, finest first, without that of the last block.
    pub(crate) taps: Vec<Tap>,
}

/// The last map of a resolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    /// The block it is behind.
    pub(crate) block: usize,
    pub(crate) channels: i64,
}

#[derive(Debug)]
struct Block {
    norm: BatchNorm,
    first: Convolution,
    slope: Slope,
    second: Normalised,
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
    Projection(Normalised),
}

/// PReLU with one slope per channel: `max(x, 0) + slope·min(x, 0)`. One summand is always zero, so that values and gradients
/// are libtorch's own to the bit; but its gradient also computes that of the slopes, at twice the cost of this on a CPU.
#[derive(Debug)]
pub(crate) struct Slope {
    slope: Tensor,
}

impl IrSeTrunk {
    /// Takes `input_layer` for images with `colours` channels, and every block of `body`.
    pub(crate) fn take(weights: &mut Weights, colours: i64) -> Result<Self, LoadError> {
        let [stem, ..] = weights.dims::<4>("input_layer.0.weight")?;
        let input = Convolution::take(weights.scope("input_layer.0"), [stem, colours, 3], false, 1, 1)?;
        let input = input.normalised(weights.scope("input_layer.1"))?;
        let slope = Slope::take(weights.scope("input_layer.2"), stem)?;
        let depth = weights.numbered("body.").max(1);
        let mut body = Vec::new();
        let (mut channels, mut halvings, mut taps) = (stem, 0, Vec::new());
        for i in 0..depth {
            let (block, outputs) = Block::take(weights.scope(&format!("body.{i}")), channels, i == 0)?;
            if !matches!(block.shortcut, Shortcut::Same) {
                halvings += 1;
                taps.extend(i.checked_sub(1).map(|before| Tap { block: before, channels }));
            }
            channels = outputs;
            body.push(block);
        }
        Ok(IrSeTrunk { input, slope, body, channels, halvings, taps })
    }

    /// The map behind the last block, `[B, C, s, s]` of images `[B, colours, S, S]`.
    pub(crate) fn forward(&self, images: &Tensor) -> Result<Tensor, TchError> {
        self.forward_visiting(images, |_, _| ())
    }

    /// The same; `visit` sees the map behind each block with the block's number.
    pub(crate) fn forward_visiting(
        &self,
        images: &Tensor,
        mut visit: impl FnMut(usize, &Tensor),
    ) -> Result<Tensor, TchError> {
        let mut x = self.slope.forward(&self.input.forward(images)?)?;
        for (i, block) in self.body.iter().enumerate() {
            x = block.forward(&x)?;
            visit(i, &x);
        }
        Ok(x)
    }
}

impl Block {
    /// Gives the block and its number of output channels.
    fn take(mut scope: Scope<'_>, inputs: i64, is_first: bool) -> Result<(Self, i64), LoadError> {
        let [outputs, ..] = scope.dims::<4>("res_layer.1.weight")?;
        let projects = outputs != inputs;
        let stride = if projects || is_first { 2 } else { 1 };
        let norm = BatchNorm::take(scope.scope("res_layer.0"), inputs)?;
        let first = Convolution::take(scope.scope("res_layer.1"), [outputs, inputs, 3], false, 1, 1)?;
        let slope = Slope::take(scope.scope("res_layer.2"), outputs)?;
        let second = Convolution::take(scope.scope("res_layer.3"), [outputs, outputs, 3], false, stride, 1)?;
        let second = second.normalised(scope.scope("res_layer.4"))?;
        let [reduced, ..] = scope.dims::<4>("res_layer.5.fc1.weight")?;
        let squeeze = scope.take("res_layer.5.fc1.weight", &[reduced, outputs, 1, 1])?;
        let excite = scope.take("res_layer.5.fc2.weight", &[outputs, reduced, 1, 1])?;
        let shortcut = if projects {
            let conv = Convolution::take(scope.scope("shortcut_layer.0"), [outputs, inputs, 1], false, stride, 0)?;
            Shortcut::Projection(conv.normalised(scope.scope("shortcut_layer.1"))?)
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
        y.f_mul(&gate)?.f_add(&shortcut)
    }
}

impl Slope {
    pub(crate) fn take(mut scope: Scope<'_>, channels: i64) -> Result<Self, LoadError> {
        let slope = scope.take("weight", &[channels])?;
        let slope = scope.prepare("weight", || slope.f_view([1, -1, 1, 1]))?;
        Ok(Slope { slope })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_clamp_max(0.0)?.f_mul(&self.slope)?.f_add(&x.f_relu()?)
    }
}
