//! ArcFace's residual network with squeeze-and-excitation (`Backbone(112, 50, mode="ir_se")` of InsightFace_Pytorch).
//!
//! All batch norms are in evaluation mode; those around the last linear layer are folded into it.

use tch::{Kind, TchError, Tensor};

use super::Loaded;
use crate::error::{LoadError, all_finite};
use crate::ir_se::{IrSeTrunk, take_norm};
use crate::shape::{image_side, side_of_square};
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct IrSe {
    trunk: IrSeTrunk,
    weight: Tensor,
    bias: Tensor,
}

impl IrSe {
    pub(super) fn take(weights: &mut Weights) -> Result<Loaded<Self>, LoadError> {
        let trunk = IrSeTrunk::take(weights, 3)?;
        let [dimensions, flat] = weights.dims("output_layer.3.weight")?;
        let side = side_of_square(flat, trunk.channels).ok_or_else(|| {
            let expected = format!("[any, {} × a square number]", trunk.channels);
            weights.shape_error("output_layer.3.weight", &expected, vec![dimensions, flat])
        })?;
        let (weight, bias) = take_output(weights, trunk.channels, flat, dimensions)?;
        let input_size = image_side(weights, "output_layer.3.weight", side, trunk.halvings)?;
        Ok(Loaded { trunk: IrSe { trunk, weight, bias }, input_size, dimensions })
    }

    /// `[B, 3, S, S]` -> `[B, D]`, not yet of unit length.
    pub(super) fn forward(&self, face: &Tensor) -> Result<Tensor, TchError> {
        self.trunk.forward(face)?.f_flatten(1, -1)?.f_linear(&self.weight, Some(&self.bias))
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
