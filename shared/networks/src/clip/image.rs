//! The two kinds of CLIP's image tower.

use serde::Serialize;
use tch::{TchError, Tensor};

use super::Activation;
use super::resnet::ResNet;
use super::vit::VisionTransformer;
use crate::error::LoadError;
use crate::weights::Weights;

/// The sizes of an image tower, and which kind it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "tower", rename_all = "kebab-case")]
pub enum VisionShape {
    /// A vision transformer (ViT-B/32, …).
    Vit {
        /// Height and width of one patch, px.
        patch: i64,
        /// Width of the transformer.
        width: i64,
        /// Number of blocks.
        layers: usize,
        /// Attention heads of each block.
        heads: i64,
    },
    /// A modified ResNet (RN50, …).
    ResNet {
        /// Channels after the stem; features have 32 times as many.
        width: i64,
        /// Bottlenecks in each of the four stages.
        layers: [usize; 4],
        /// Heads of the attention pool.
        heads: i64,
    },
}

/// What one image `side` px wide and high leaves in memory on its way through a tower while its gradient is computed, in bytes; estimated,
/// within a third (tests/bench/RESULTS.md has the peaks), in single precision.
pub fn gradient_bytes(shape: &VisionShape, side: i64) -> u64 {
    /// Numbers of one token in one block of a transformer, in widths: norms, query, key and value, the mix, the hidden layer (four
    /// wide, kept three times) and the gradients on the way back.
    const WIDTHS: i64 = 34;
    /// Scores, shares and their gradients.
    const SCORES: i64 = 3;
    /// Numbers of a ResNet for each pixel of its input, in widths of its stem.
    const RESNET_WIDTHS: i64 = 8;
    let numbers = match shape {
        VisionShape::Vit { patch, width, layers, heads } => {
            let tokens = (side / patch).pow(2) + 1;
            i64::try_from(*layers).unwrap_or(i64::MAX).saturating_mul(
                tokens.saturating_mul(WIDTHS * width).saturating_add(tokens.pow(2).saturating_mul(SCORES * heads)),
            )
        }
        VisionShape::ResNet { width, .. } => side.pow(2).saturating_mul(RESNET_WIDTHS * width),
    };
    // The picture before and after resizing, and their gradients.
    numbers.saturating_add(12 * side.pow(2)).unsigned_abs().saturating_mul(4)
}

/// An image tower; the file's names tell which.
#[derive(Debug)]
pub(super) enum ImageTower {
    Vit(VisionTransformer),
    ResNet(Box<ResNet>),
}

impl ImageTower {
    /// Takes every tensor under `visual.`; `embed` is the width of the text's features, which images must share.
    pub(super) fn take(
        weights: &mut Weights,
        embed: i64,
        activation: Activation,
        heads: Option<i64>,
    ) -> Result<Self, LoadError> {
        if weights.contains(ResNet::MARK) {
            return ResNet::take(weights, embed, heads).map(|tower| ImageTower::ResNet(Box::new(tower)));
        }
        VisionTransformer::take(weights, embed, activation, heads).map(ImageTower::Vit)
    }

    /// Height and width of the input, px.
    pub(super) fn size(&self) -> i64 {
        match self {
            ImageTower::Vit(tower) => tower.size,
            ImageTower::ResNet(tower) => tower.size,
        }
    }

    pub(super) fn shape(&self) -> VisionShape {
        match self {
            ImageTower::Vit(tower) => tower.shape(),
            ImageTower::ResNet(tower) => tower.shape(),
        }
    }

    /// `[B, 3, S, S]` -> `[B, embed]`.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor, TchError> {
        match self {
            ImageTower::Vit(tower) => tower.forward(pixels),
            ImageTower::ResNet(tower) => tower.forward(pixels),
        }
    }
}
