//! ArcFace's residual network with squeeze-and-excitation (`Backbone(112, 50, mode="ir_se")` of InsightFace_Pytorch), all
//! batch norms in evaluation mode.

use tch::{TchError, Tensor};

use super::Loaded;
use crate::error::LoadError;
use crate::ir_se::IrSeTrunk;
use crate::layers::{BatchNorm, Linear};
use crate::shape::{image_side, side_of_square};
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct IrSe {
    trunk: IrSeTrunk,
    /// Per channel of the trunk's map.
    before: BatchNorm,
    linear: Linear,
    /// Per number of the vector.
    after: BatchNorm,
}

impl IrSe {
    pub(super) fn take(weights: &mut Weights) -> Result<Loaded<Self>, LoadError> {
        let trunk = IrSeTrunk::take(weights, 3)?;
        let [dimensions, flat] = weights.dims("output_layer.3.weight")?;
        let side = side_of_square(flat, trunk.channels).ok_or_else(|| {
            let expected = format!("[any, {} × a square number]", trunk.channels);
            weights.shape_error("output_layer.3.weight", &expected, vec![dimensions, flat])
        })?;
        let before = BatchNorm::take(weights.scope("output_layer.0"), trunk.channels)?;
        let linear = Linear::take(weights.scope("output_layer.3"), flat, dimensions)?;
        let after = BatchNorm::take(weights.scope("output_layer.4"), dimensions)?;
        let input_size = image_side(weights, "output_layer.3.weight", side, trunk.halvings)?;
        Ok(Loaded { trunk: IrSe { trunk, before, linear, after }, input_size, dimensions })
    }

    /// `[B, 3, S, S]` -> `[B, D]`, not yet of unit length.
    pub(super) fn forward(&self, face: &Tensor) -> Result<Tensor, TchError> {
        let map = self.before.forward(&self.trunk.forward(face)?)?;
        self.after.forward(&self.linear.forward(&map.f_flatten(1, -1)?)?)
    }
}
