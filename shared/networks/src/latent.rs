//! What the StyleGAN generators share about latents: the mapping network z -> w, the affine maps from w to a layer's
//! style, the truncation trick and the step from w to W+.
//!
//! StyleGAN3 kept StyleGAN2's form of both networks and its constants (`networks_stylegan2.py` and
//! `networks_stylegan3.py` of <https://github.com/NVlabs/stylegan3>: `MappingNetwork`, `FullyConnectedLayer`).

use std::f64::consts::SQRT_2;

use tch::{TchError, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::layers::{in_company, leaky_relu};
use crate::shape::expect;
use crate::weights::{Scope, Weights};

/// Learning-rate multiplier of every mapping layer: stored weights are 1/0.01 times the effective ones.
const LR_MULTIPLIER: f64 = 0.01;
/// Added to the mean square of z.
const NORM_EPS: f64 = 1e-8;
/// The module that embeds a class label, in every naming of conditional generators.
const LABEL_EMBEDDING: &str = "embed";

/// Refuses a generator that draws by class label. Its first mapping layer reads the embedded label behind z, so leaving
/// the embedding out would give a network that loads and maps to nowhere.
pub(crate) fn refuse_conditional(weights: &Weights) -> Result<(), LoadError> {
    match weights.names().find(|name| name.split('.').any(|part| part == LABEL_EMBEDDING)) {
        Some(name) => Err(LoadError::Unsupported {
            file: weights.file().to_owned(),
            tensor: name.to_owned(),
            reason: "embeds a class label; generators conditioned on labels are not supported",
        }),
        None => Ok(()),
    }
}

/// A normalised latent through equalised fully connected layers.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Effective weight and bias of each layer.
    layers: Vec<(Tensor, Tensor)>,
    z_dim: i64,
}

impl Mapping {
    /// Takes `{before}{first}`, `{before}{first + 1}`, …; the depth is what the file has (8 in the StyleGAN2 papers'
    /// networks, 2 in StyleGAN3 and in many ADA ones), and so are the sizes between z and w.
    pub(crate) fn take(weights: &mut Weights, before: &str, first: usize, w_dim: i64) -> Result<Self, LoadError> {
        let wide = weights.wide_kind();
        // At least one layer is required, so a file without any is reported as missing the first one's weight.
        let depth = weights.count(before, first, ".weight").max(1);
        let mut layers = Vec::with_capacity(depth);
        let [_, z_dim] = weights.dims(&format!("{before}{first}.weight"))?;
        let mut inputs = z_dim;
        for i in first..first + depth {
            let mut scope = weights.scope(&format!("{before}{i}"));
            let outputs = if i + 1 == first + depth { w_dim } else { scope.dims::<2>("weight")?[0] };
            let weight = scope.take("weight", &[outputs, inputs])?;
            let bias = scope.take("bias", &[outputs])?;
            // Leaky ReLU commutes with a positive factor, so its gain sqrt(2) is folded in here too.
            let gain = LR_MULTIPLIER * SQRT_2 / (inputs as f64).sqrt();
            let weight = scope.prepare("weight", || weight.f_to_kind(wide)?.f_multiply_scalar(gain))?;
            let bias = scope.prepare("bias", || bias.f_to_kind(wide)?.f_multiply_scalar(LR_MULTIPLIER * SQRT_2))?;
            layers.push((weight, bias));
            inputs = outputs;
        }
        Ok(Mapping { layers, z_dim })
    }

    /// The same network, its memory shared.
    pub(crate) fn share(&self) -> Self {
        let layers = self.layers.iter().map(|(w, b)| (w.shallow_clone(), b.shallow_clone())).collect();
        Mapping { layers, z_dim: self.z_dim }
    }

    pub(crate) fn depth(&self) -> usize {
        self.layers.len()
    }

    pub(crate) fn z_dim(&self) -> i64 {
        self.z_dim
    }

    /// `z` `[B, z_dim]` -> `w` `[B, w_dim]`.
    pub(crate) fn forward(&self, z: &Tensor) -> Result<Tensor, TchError> {
        let power = z.f_square()?.f_mean_dim([1].as_slice(), true, None)?; // [B, 1]
        let mut w = z.f_mul(&power.f_add_scalar(NORM_EPS)?.f_rsqrt()?)?;
        for (weight, bias) in &self.layers {
            w = leaky_relu(&w.f_linear(weight, Some(bias))?)?;
        }
        Ok(w)
    }
}

/// The affine map from a latent to one layer's style vector; the stored bias already includes the +1.
#[derive(Debug)]
pub(crate) struct Affine {
    /// `[w_dim, channels]`: the products that libraries compute row by row the same for any number of rows.
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    /// Takes `weight` `[channels, w_dim]` and `bias` `[channels]`.
    pub(crate) fn take(mut scope: Scope<'_>, channels: i64, w_dim: i64) -> Result<Self, LoadError> {
        let wide = scope.weights().wide_kind();
        let weight = scope.take("weight", &[channels, w_dim])?;
        let bias = scope.take("bias", &[channels])?;
        let gain = (w_dim as f64).sqrt().recip();
        let weight =
            scope.prepare("weight", || weight.f_to_kind(wide)?.f_multiply_scalar(gain)?.f_tr()?.f_contiguous())?;
        let bias = scope.prepare("bias", || bias.f_to_kind(wide))?;
        Ok(Affine { weight, bias })
    }

    /// `[B, w_dim]` -> `[B, channels]`.
    pub(crate) fn forward(&self, w: &Tensor) -> Result<Tensor, TchError> {
        in_company(w, |w| self.bias.f_addmm(w, &self.weight))
    }

    /// The same map, its memory shared.
    pub(crate) fn share(&self) -> Self {
        Affine { weight: self.weight.shallow_clone(), bias: self.bias.shallow_clone() }
    }
}

/// `avg + psi (w - avg)` on `w` `[B, w_dim]` or W+ `[B, L, w_dim]`, with `avg` `[w_dim]`; the result has `avg`'s kind.
pub(crate) fn truncate(network: &'static str, w: &Tensor, avg: &Tensor, psi: f64) -> Result<Tensor, NetworkError> {
    let w_dim = avg.size().first().copied();
    if w.dim() == 3 {
        expect(network, "w_plus", w, [None, None, w_dim])?;
    } else {
        expect(network, "w", w, [None, w_dim])?;
    }
    Ok(w.f_to_kind(avg.f_kind()?)?.f_sub(avg)?.f_multiply_scalar(psi)?.f_add(avg)?)
}

/// `[B, w_dim]` -> W+ `[B, n_latent, w_dim]`, a view.
pub(crate) fn broadcast(network: &'static str, w: &Tensor, n_latent: i64, w_dim: i64) -> Result<Tensor, NetworkError> {
    let [b, d] = expect(network, "w", w, [None, Some(w_dim)])?;
    Ok(w.f_unsqueeze(1)?.f_expand([b, n_latent, d], false)?)
}
