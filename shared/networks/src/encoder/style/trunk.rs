//! What reads the image: ArcFace's IR-SE50, or the ResNet34 of ReStyle's encoders for anything but faces.

use tch::{TchError, Tensor};

use crate::error::LoadError;
use crate::ir_se::{IrSeTrunk, Slope, Tap};
use crate::layers::{Convolution, Normalised};
use crate::weights::{Scope, Weights};

/// The trunk of an encoder; its names tell which.
#[derive(Debug)]
pub(super) enum Trunk {
    IrSe(IrSeTrunk),
    ResNet(ResNet),
}

/// torchvision's ResNet34 without its pooling and classification, behind a stem with a PReLU (`ResNetBackboneEncoder` of
/// ReStyle's `restyle_psp_encoders.py`). Batch norms are in evaluation mode.
///
/// Names: `conv1`, `bn1`, `relu` (the slopes); per block `body.{i}.{conv1,bn1,conv2,bn2}` and, where the width changes,
/// `body.{i}.downsample.{0,1}`. The stem and the blocks that change the width halve the resolution.
#[derive(Debug)]
pub(super) struct ResNet {
    stem: Normalised,
    slope: Slope,
    body: Vec<BasicBlock>,
    channels: i64,
    taps: Vec<Tap>,
}

/// `relu(BN(conv(relu(BN(conv(x))))) + shortcut(x))`.
#[derive(Debug)]
struct BasicBlock {
    first: Normalised,
    second: Normalised,
    shortcut: Option<Normalised>,
}

impl Trunk {
    /// Takes the trunk for images with `colours` channels.
    pub(super) fn take(weights: &mut Weights, colours: i64) -> Result<Self, LoadError> {
        if weights.contains("conv1.weight") {
            return Ok(Trunk::ResNet(ResNet::take(weights, colours)?));
        }
        Ok(Trunk::IrSe(IrSeTrunk::take(weights, colours)?))
    }

    /// Channels of the last map.
    pub(super) fn channels(&self) -> i64 {
        match self {
            Trunk::IrSe(trunk) => trunk.channels,
            Trunk::ResNet(trunk) => trunk.channels,
        }
    }

    /// How often the resolution is halved.
    pub(super) fn halvings(&self) -> usize {
        match self {
            Trunk::IrSe(trunk) => trunk.halvings,
            Trunk::ResNet(trunk) => trunk.taps.len() + 1,
        }
    }

    /// The last map of each resolution, finest first, without that of the last block.
    pub(super) fn taps(&self) -> &[Tap] {
        match self {
            Trunk::IrSe(trunk) => &trunk.taps,
            Trunk::ResNet(trunk) => &trunk.taps,
        }
    }

    /// The map behind the last block; `visit` sees the map behind each with the block's number.
    pub(super) fn forward_visiting(
        &self,
        images: &Tensor,
        visit: impl FnMut(usize, &Tensor),
    ) -> Result<Tensor, TchError> {
        match self {
            Trunk::IrSe(trunk) => trunk.forward_visiting(images, visit),
            Trunk::ResNet(trunk) => trunk.forward_visiting(images, visit),
        }
    }
}

impl ResNet {
    fn take(weights: &mut Weights, colours: i64) -> Result<Self, LoadError> {
        let [stem_channels, ..] = weights.dims::<4>("conv1.weight")?;
        let stem = Convolution::take(weights.scope("conv1"), [stem_channels, colours, 7], false, 2, 3)?;
        let stem = stem.normalised(weights.scope("bn1"))?;
        let slope = Slope::take(weights.scope("relu"), stem_channels)?;
        let depth = weights.numbered("body.").max(1);
        let mut body = Vec::new();
        let (mut channels, mut taps) = (stem_channels, Vec::new());
        for i in 0..depth {
            let (block, outputs) = BasicBlock::take(weights.scope(&format!("body.{i}")), channels)?;
            if block.shortcut.is_some() {
                taps.extend(i.checked_sub(1).map(|before| Tap { block: before, channels }));
            }
            channels = outputs;
            body.push(block);
        }
        Ok(ResNet { stem, slope, body, channels, taps })
    }

    fn forward_visiting(&self, images: &Tensor, mut visit: impl FnMut(usize, &Tensor)) -> Result<Tensor, TchError> {
        let mut x = self.slope.forward(&self.stem.forward(images)?)?;
        for (i, block) in self.body.iter().enumerate() {
            x = block.forward(&x)?;
            visit(i, &x);
        }
        Ok(x)
    }
}

impl BasicBlock {
    /// Gives the block and its number of output channels.
    fn take(mut scope: Scope<'_>, inputs: i64) -> Result<(Self, i64), LoadError> {
        let [outputs, ..] = scope.dims::<4>("conv1.weight")?;
        let stride = if outputs == inputs { 1 } else { 2 };
        let first = Convolution::take(scope.scope("conv1"), [outputs, inputs, 3], false, stride, 1)?;
        let first = first.normalised(scope.scope("bn1"))?;
        let second = Convolution::take(scope.scope("conv2"), [outputs, outputs, 3], false, 1, 1)?;
        let second = second.normalised(scope.scope("bn2"))?;
        let mut shortcut = None;
        if outputs != inputs {
            let conv = Convolution::take(scope.scope("downsample.0"), [outputs, inputs, 1], false, stride, 0)?;
            shortcut = Some(conv.normalised(scope.scope("downsample.1"))?);
        }
        Ok((BasicBlock { first, second, shortcut }, outputs))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let y = self.second.forward(&self.first.forward(x)?.f_relu()?)?;
        match &self.shortcut {
            Some(shortcut) => y.f_add(&shortcut.forward(x)?)?.f_relu(),
            None => y.f_add(x)?.f_relu(),
        }
    }
}
