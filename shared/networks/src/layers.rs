//! Plain layers the small networks share. Batch normalisation is folded into the convolution before it at load.

use tch::{Kind, TchError, Tensor};

use crate::error::{LoadError, all_finite};
use crate::weights::{Scope, Weights};

/// Added to the variance by batch normalisation (PyTorch's default).
pub(crate) const BATCH_NORM_EPS: f64 = 1e-5;

/// The slope below zero of the StyleGANs' and the inversion encoder's activation.
const LEAKY_SLOPE: f64 = 0.2;

/// Leaky ReLU with slope 0.2.
///
/// tch's `leaky_relu` is fixed at slope 0.01. libtorch's gradient kernel `g · (1 if x > 0 else slope)` is the function
/// itself when g is x, and its own gradient with respect to g is the right one. PReLU would do too, fifteen times slower
/// on a CPU.
pub(crate) fn leaky_relu(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_detach()?.f_leaky_relu_backward(x, LEAKY_SLOPE, false)
}

/// `x` cut to `[-bound, bound]`, or as it is.
pub(crate) fn clamped(x: Tensor, bound: Option<f64>) -> Result<Tensor, TchError> {
    match bound {
        Some(bound) => x.f_clamp(-bound, bound),
        None => Ok(x),
    }
}

/// A bound on activations must be a positive number, or the network draws nothing.
pub(crate) fn check_clamp(weights: &Weights, clamp: Option<f64>) -> Result<(), LoadError> {
    match clamp {
        Some(bound) if !(bound.is_finite() && bound > 0.0) => {
            Err(weights.setting_error("conv_clamp", format!("is {bound}, expected a positive number")))
        }
        _ => Ok(()),
    }
}

/// `y = x Wᵀ + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Takes `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    pub(crate) fn take(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Result<Self, LoadError> {
        Ok(Linear { weight: scope.take("weight", &[outputs, inputs])?, bias: scope.take("bias", &[outputs])? })
    }

    /// The same with an equalised learning rate (`EqualLinear` of rosinality/stylegan2-pytorch, `lr_mul` 1): what the file
    /// holds as the weight is multiplied by `1/sqrt(inputs)`.
    pub(crate) fn take_equalised(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Result<Self, LoadError> {
        let weight = scope.take("weight", &[outputs, inputs])?;
        let weight = scope.prepare("weight", || weight.f_mul_scalar((inputs as f64).sqrt().recip()))?;
        Ok(Linear { weight, bias: scope.take("bias", &[outputs])? })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }
}

/// A square 2-D convolution.
#[derive(Debug)]
pub(crate) struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
}

impl Convolution {
    /// Takes `weight` `[outputs, inputs, size, size]` and, where the file has one, `bias` `[outputs]`.
    pub(crate) fn take(
        mut scope: Scope<'_>,
        [outputs, inputs, size]: [i64; 3],
        bias: bool,
        stride: i64,
        padding: i64,
    ) -> Result<Self, LoadError> {
        let weight = scope.take("weight", &[outputs, inputs, size, size])?;
        let bias = if bias { Some(scope.take("bias", &[outputs])?) } else { None };
        Ok(Convolution { weight, bias, stride, padding })
    }

    /// Folds the evaluation-mode batch normalisation that follows (possibly after an average pool, which commutes with
    /// it) into weight and bias: `W' = W g/σ`, `b' = (b - μ) g/σ + β`. Done in double precision and rounded once.
    pub(crate) fn fold_batch_norm(self, mut scope: Scope<'_>) -> Result<Self, LoadError> {
        let channels = [self.weight.size()[0]];
        let gain = scope.take("weight", &channels)?;
        let shift = scope.take("bias", &channels)?;
        let mean = scope.take("running_mean", &channels)?;
        let variance = scope.take("running_var", &channels)?;
        let folded = tch::no_grad(|| {
            let kind = self.weight.f_kind()?;
            let wide = |t: &Tensor| t.f_to_kind(Kind::Double);
            let scale = wide(&gain)?.f_div(&wide(&variance)?.f_add_scalar(BATCH_NORM_EPS)?.f_sqrt()?)?;
            let weight = wide(&self.weight)?.f_mul(&scale.f_view([-1, 1, 1, 1])?)?.f_to_kind(kind)?;
            let centred = match &self.bias {
                Some(bias) => wide(bias)?.f_sub(&wide(&mean)?)?,
                None => wide(&mean)?.f_neg()?,
            };
            let bias = centred.f_mul(&scale)?.f_add(&wide(&shift)?)?.f_to_kind(kind)?;
            let finite = all_finite(&weight)? && all_finite(&bias)?;
            Ok((weight, bias, finite))
        });
        let name = scope.name("running_var");
        let (weight, bias, finite) = folded.map_err(|source| scope.weights().torch_error(&name, source))?;
        if !finite {
            return Err(scope.weights().value_error(&name, "is negative, or gives weights that are not finite"));
        }
        Ok(Convolution { weight, bias: Some(bias), ..self })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.f_conv2d(&self.weight, self.bias.as_ref(), stride, padding, [1, 1], 1)
    }
}
