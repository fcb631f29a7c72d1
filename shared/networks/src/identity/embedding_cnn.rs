//! The small identity network for packs of small faces.

use tch::{TchError, Tensor};

use super::Loaded;

use crate::error::LoadError;
use crate::layers::{Convolution, Linear, leaky_relu};
use crate::shape::{image_side, side_of_square};
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct EmbeddingCnn {
    body: Vec<Convolution>,
    fc: Linear,
}

impl EmbeddingCnn {
    pub(super) fn take(weights: &mut Weights) -> Result<Loaded<Self>, LoadError> {
        // At least one block: without any, the error should name what such a network begins with.
        let depth = weights.count("body.", 0, ".conv.weight").max(1);
        let mut body = Vec::with_capacity(depth);
        let mut inputs = 3;
        for i in 0..depth {
            let mut block = weights.scope(&format!("body.{i}"));
            let [outputs, ..] = block.dims::<4>("conv.weight")?;
            let conv = Convolution::take(block.scope("conv"), [outputs, inputs, 3], true, 2, 1)?;
            body.push(conv.fold_batch_norm(block.scope("norm"))?);
            inputs = outputs;
        }
        let [dimensions, flat] = weights.dims("fc.weight")?;
        let side = side_of_square(flat, inputs).ok_or_else(|| {
            let expected = format!("[any, {inputs} × a square number]");
            weights.shape_error("fc.weight", &expected, vec![dimensions, flat])
        })?;
        let fc = Linear::take(weights.scope("fc"), flat, dimensions)?;
        let input_size = image_side(weights, &format!("body.{}.conv.weight", depth - 1), side, depth)?;
        Ok(Loaded { trunk: EmbeddingCnn { body, fc }, input_size, dimensions })
    }

    /// `[B, 3, S, S]` -> `[B, D]`, not yet of unit length.
    pub(super) fn forward(&self, face: &Tensor) -> Result<Tensor, TchError> {
        let mut x = face.shallow_clone();
        for conv in &self.body {
            x = leaky_relu(&conv.forward(&x)?)?; // [B, C, r/2, r/2]
        }
        self.fc.forward(&x.f_flatten(1, -1)?)
    }
}
