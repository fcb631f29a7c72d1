//! The convolutional trunk of a classification network: stages of convolutions with ReLU, with max pooling between.

use tch::{TchError, Tensor};

use crate::error::LoadError;
use crate::layers::Convolution;
use crate::weights::Weights;

/// One stage as the architecture prescribes it.
pub(super) struct Plan {
    /// Max pooling before it, if any.
    pub(super) pool: Option<Window>,
    /// Its convolutions: the name without `.weight`, and the window.
    pub(super) convolutions: &'static [(&'static str, Window)],
}

/// Where a filter looks: px.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) side: i64,
    pub(super) stride: i64,
    pub(super) padding: i64,
}

impl Window {
    /// VGG's only convolution.
    pub(super) const THREE: Window = Window { side: 3, stride: 1, padding: 1 };
    /// VGG's only pooling.
    pub(super) const HALVING: Window = Window { side: 2, stride: 2, padding: 0 };

    /// The least input that gives `outputs` outputs.
    fn inputs(self, outputs: i64) -> i64 {
        ((outputs - 1) * self.stride + self.side - 2 * self.padding).max(1)
    }
}

/// The convolutions of all stages.
#[derive(Debug)]
pub(super) struct Trunk {
    stages: Vec<Stage>,
    smallest_side: i64,
}

#[derive(Debug)]
struct Stage {
    pool: Option<Window>,
    convolutions: Vec<Convolution>,
    channels: i64,
}

impl Trunk {
    /// Takes the convolutions of the plan, which read RGB (or BGR) images; widths are the file's.
    pub(super) fn take(weights: &mut Weights, plan: &[Plan]) -> Result<Self, LoadError> {
        let mut channels = 3;
        let mut stages = Vec::with_capacity(plan.len());
        for stage in plan {
            let mut convolutions = Vec::with_capacity(stage.convolutions.len());
            for (name, window) in stage.convolutions {
                let [outputs, ..] = weights.dims::<4>(&format!("{name}.weight"))?;
                let shape = [outputs, channels, window.side];
                let conv = Convolution::take(weights.scope(name), shape, true, window.stride, window.padding)?;
                convolutions.push(conv);
                channels = outputs;
            }
            stages.push(Stage { pool: stage.pool, convolutions, channels });
        }
        let windows = plan.iter().flat_map(|stage| {
            stage.pool.into_iter().chain(stage.convolutions.iter().map(|(_, window)| *window)).collect::<Vec<_>>()
        });
        let smallest_side = windows.collect::<Vec<_>>().into_iter().rev().fold(1, |need, window| window.inputs(need));
        Ok(Trunk { stages, smallest_side })
    }

    /// The least height and width of an image for which every window finds a place, px.
    pub(super) fn smallest_side(&self) -> i64 {
        self.smallest_side
    }

    /// Channels at the end of each stage.
    pub(super) fn widths(&self) -> impl Iterator<Item = i64> {
        self.stages.iter().map(|stage| stage.channels)
    }

    /// What leaves each stage, behind its last ReLU: `[B, C, h, w]` each.
    pub(super) fn forward(&self, images: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let mut x = images.shallow_clone();
        let mut ends = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            if let Some(Window { side, stride, padding }) = stage.pool {
                x = x.f_max_pool2d([side; 2], [stride; 2], [padding; 2], [1, 1], false)?;
            }
            for conv in &stage.convolutions {
                x = conv.forward(&x)?.f_relu()?;
            }
            ends.push(x.shallow_clone());
        }
        Ok(ends)
    }
}
