//! Layers of networks in training, which the frozen networks have in another form: batch normalisation over the batch, and
//! equalised learning rates.

use tch::{Kind, TchError, Tensor};

use crate::parameters::Parameters;

/// As in the frozen networks.
const BATCH_NORM_EPS: f64 = 1e-5;
/// Share of a batch's statistics in the running ones.
const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Leaky ReLU with slope 0.2, any number of times differentiable. tch's own is fixed at slope 0.01.
pub fn leaky_relu(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_detach()?.f_leaky_relu_backward(x, 0.2, false)
}

/// A convolution of `x` in `kind`; the result is in 32 bits.
pub fn convolution(
    p: &Parameters,
    name: &str,
    x: &Tensor,
    stride: i64,
    padding: i64,
    kind: Kind,
) -> Result<Tensor, TchError> {
    let weight = p.get(&format!("{name}.weight")).f_to_kind(kind)?;
    let bias = format!("{name}.bias");
    let bias = match p.trained().get(&bias) {
        Some(bias) => Some(bias.f_to_kind(kind)?),
        None => None,
    };
    let x = x.f_to_kind(kind)?;
    x.f_conv2d(&weight, bias.as_ref(), [stride; 2], [padding; 2], [1, 1], 1)?.f_to_kind(Kind::Float)
}

/// `x Wᵀ + b`.
pub fn linear(p: &Parameters, name: &str, x: &Tensor) -> Result<Tensor, TchError> {
    x.f_linear(p.get(&format!("{name}.weight")), Some(p.get(&format!("{name}.bias"))))
}

/// Batch normalisation. In training it uses the batch's statistics and moves the running ones.
pub fn batch_norm(p: &Parameters, name: &str, x: &Tensor, training: bool) -> Result<Tensor, TchError> {
    let get = |part: &str| Some(p.get(&format!("{name}.{part}")));
    x.f_batch_norm(
        get("weight"),
        get("bias"),
        get("running_mean"),
        get("running_var"),
        training,
        BATCH_NORM_MOMENTUM,
        BATCH_NORM_EPS,
        false,
    )
}

/// Mean cross entropy of scores `[B, classes]` against classes `[B]`.
pub fn cross_entropy(scores: &Tensor, classes: &Tensor) -> Result<Tensor, TchError> {
    scores.f_log_softmax(-1, Kind::Float)?.f_nll_loss(classes, None::<&Tensor>, tch::Reduction::Mean, -100)
}
