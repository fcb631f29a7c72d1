//! Plain layers that networks share.
//!
//! Batch normalisation is in evaluation mode. The networks of our own packs fold it into the convolution before it; those that
//! others publish compute it as they do ([`BatchNorm`] says why).

use tch::{Device, Kind, TchError, Tensor};

use crate::error::{LoadError, all_finite};
use crate::weights::{Scope, Weights};

/// Added to the variance by batch normalisation (PyTorch's default).
const BATCH_NORM_EPS: f64 = 1e-5;

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

/// `x` `[N, C, H, W]` with its channels beside each other in memory. On a CPU oneDNN reads and writes such maps as they are, where
/// it would turn others around and back; depthwise filters run three times as fast. On a GPU it is for the half kinds.
pub(crate) fn channels_last(x: &Tensor) -> Result<Tensor, TchError> {
    if x.device() != Device::Cpu && matches!(x.f_kind()?, Kind::Float | Kind::Double) {
        return x.f_contiguous();
    }
    x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])
}

/// The largest map that libtorch, on a CPU, convolves in another way when it is alone (`use_mkldnn` of its Convolution.cpp), in numbers.
const SMALL_MAP: usize = 20_480;

/// `compute` of `x` `[B, ..]`, item by item the same whatever `B` is, for what would go another way through libtorch's libraries with one
/// item (a product of a matrix and a vector) and so round otherwise: on a CPU one item is computed twice, and the first is taken. (On some
/// processors these libraries choose by larger numbers, too, and rounding remains: see the test of batch-mates.)
pub(crate) fn in_company(
    x: &Tensor,
    compute: impl FnOnce(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    let mut size = x.size();
    if size[0] != 1 || x.device() != Device::Cpu {
        return compute(x);
    }
    size[0] = 2;
    compute(&x.f_expand(&size, false)?)?.f_narrow(0, 0, 1)
}

/// The same for a convolution of `x` `[B, C, H, W]`; large maps go one way only.
pub(crate) fn convolve_in_company(
    x: &Tensor,
    compute: impl FnOnce(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor, TchError> {
    if x.numel() <= SMALL_MAP { in_company(x, compute) } else { compute(x) }
}

/// What a modulated convolution does with its sums: `clamp(leaky_relu(factor · y + bias + noise))`.
#[derive(Debug)]
pub(crate) struct Activate<'a> {
    /// `[B, C, 1, 1]`
    pub(crate) factor: &'a Tensor,
    /// `[1, C, 1, 1]`
    pub(crate) bias: &'a Tensor,
    /// `[B or 1, 1, H, W]`
    pub(crate) noise: Option<&'a Tensor>,
    pub(crate) clamp: Option<f64>,
}

impl Activate<'_> {
    /// `y` `[B, C, H, W]` -> the same. Where no gradient is asked for, in the memory of `y`: on large maps a pass is memory that is read
    /// and written, and memory that is new has to be cleared first.
    pub(crate) fn on(&self, mut y: Tensor) -> Result<Tensor, TchError> {
        let Self { factor, bias, noise, clamp } = *self;
        if [Some(&y), Some(factor), noise].into_iter().flatten().any(Tensor::requires_grad) {
            let y = bias.f_addcmul(&y, factor)?;
            let y = match noise {
                Some(noise) => y.f_add(noise)?,
                None => y,
            };
            return clamped(leaky_relu(&y)?, clamp);
        }
        let _ = bias.f_addcmul_out(&y, &y, factor)?;
        if let Some(noise) = noise {
            let _ = y.f_add_(noise)?;
        }
        let _ = y.f_leaky_relu_backward_grad_input(&y, &y, LEAKY_SLOPE, false)?;
        if let Some(bound) = clamp {
            let _ = y.f_clamp_(-bound, bound)?;
        }
        Ok(y)
    }
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

    /// With the batch normalisation that follows, which stays apart.
    pub(crate) fn normalised(self, norm: Scope<'_>) -> Result<Normalised, LoadError> {
        let norm = BatchNorm::take(norm, self.weight.size()[0])?;
        Ok(Normalised { convolution: self, norm })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        x.f_conv2d(&self.weight, self.bias.as_ref(), stride, padding, [1, 1], 1)
    }
}

/// A convolution and the batch normalisation behind it.
#[derive(Debug)]
pub(crate) struct Normalised {
    convolution: Convolution,
    norm: BatchNorm,
}

impl Normalised {
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.norm.forward(&self.convolution.forward(x)?)
    }
}

/// Batch normalisation with the running statistics, in the wide kind, by libtorch's own kernel.
///
/// Folded into a convolution it would round otherwise. Where the input of a ReLU or PReLU lies within rounding of zero, the
/// gradient to the pixels then differs in whole units: by 1e-3 of its maximum and more in a full-size CLIP RN50 or ArcFace
/// IR-SE50, whose features differ by 1e-6.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    gain: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
    kind: Kind,
    wide: Kind,
}

impl BatchNorm {
    /// Takes `weight`, `bias`, `running_mean` and `running_var`, `[channels]` each.
    pub(crate) fn take(mut scope: Scope<'_>, channels: i64) -> Result<Self, LoadError> {
        let (kind, wide) = (scope.weights().kind(), scope.weights().wide_kind());
        let mut take = |name: &str| {
            let tensor = scope.take(name, &[channels])?;
            scope.prepare(name, || tensor.f_to_kind(wide))
        };
        let (gain, shift, mean, variance) =
            (take("weight")?, take("bias")?, take("running_mean")?, take("running_var")?);
        let least = scope.prepare("running_var", || variance.f_min()?.f_double_value(&[]))?;
        if least < 0.0 {
            return Err(scope.weights().value_error(&scope.name("running_var"), format!("holds {least}, no variance")));
        }
        Ok(BatchNorm { gain, shift, mean, variance, kind, wide })
    }

    /// `x` `[B, channels, ..]` -> the same.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = x.f_to_kind(self.wide)?;
        let (gain, shift) = (Some(&self.gain), Some(&self.shift));
        // The momentum is for training, which this is not.
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        let y = x.f_batch_norm(gain, shift, mean, variance, false, 0.0, BATCH_NORM_EPS, true)?;
        y.f_to_kind(self.kind)
    }
}
