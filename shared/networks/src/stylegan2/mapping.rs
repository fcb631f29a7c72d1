//! The mapping network z -> w: a normalised latent through equalised fully connected layers.

use std::f64::consts::SQRT_2;

use tch::{TchError, Tensor};

use crate::error::LoadError;
use crate::layers::leaky_relu;
use crate::weights::Weights;

/// Learning-rate multiplier of every mapping layer: stored weights are 1/0.01 times the effective ones.
const LR_MULTIPLIER: f64 = 0.01;
/// Added to the mean square of z.
const NORM_EPS: f64 = 1e-8;

#[derive(Debug)]
pub(super) struct Mapping {
    /// Effective weight and bias of `style.1`, `style.2`, …; `style.0` is the normalisation and has no parameters.
    layers: Vec<(Tensor, Tensor)>,
}

impl Mapping {
    /// Takes `style.{1..}`; the depth is what the file has (8 in the published networks, 2 in many ADA ones).
    pub(super) fn take(weights: &mut Weights, w_dim: i64) -> Result<Self, LoadError> {
        let wide = weights.wide_kind();
        // At least one layer is required, so a file without any is reported as missing style.1.weight.
        let depth = weights.count("style.", 1, ".weight").max(1);
        let mut layers = Vec::with_capacity(depth);
        for i in 1..=depth {
            let mut scope = weights.scope(&format!("style.{i}"));
            let weight = scope.take("weight", &[w_dim, w_dim])?;
            let bias = scope.take("bias", &[w_dim])?;
            // Leaky ReLU commutes with a positive factor, so its gain sqrt(2) is folded in here too.
            let gain = LR_MULTIPLIER * SQRT_2 / (w_dim as f64).sqrt();
            let weight = scope.prepare("weight", || weight.f_to_kind(wide)?.f_multiply_scalar(gain))?;
            let bias = scope.prepare("bias", || bias.f_to_kind(wide)?.f_multiply_scalar(LR_MULTIPLIER * SQRT_2))?;
            layers.push((weight, bias));
        }
        Ok(Mapping { layers })
    }

    /// The same network, its memory shared.
    pub(super) fn share(&self) -> Self {
        Mapping { layers: self.layers.iter().map(|(w, b)| (w.shallow_clone(), b.shallow_clone())).collect() }
    }

    pub(super) fn depth(&self) -> usize {
        self.layers.len()
    }

    /// `z` `[B, w_dim]` -> `w` `[B, w_dim]`.
    pub(super) fn forward(&self, z: &Tensor) -> Result<Tensor, TchError> {
        let power = z.f_square()?.f_mean_dim([1].as_slice(), true, None)?; // [B, 1]
        let mut w = z.f_mul(&power.f_add_scalar(NORM_EPS)?.f_rsqrt()?)?;
        for (weight, bias) in &self.layers {
            w = leaky_relu(&w.f_linear(weight, Some(bias))?)?;
        }
        Ok(w)
    }
}
