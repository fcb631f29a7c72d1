//! The pre-norm residual transformer that both towers of CLIP share.

use tch::{Device, Kind, TchError, Tensor};

use super::Activation;
use crate::error::LoadError;
use crate::weights::{Scope, Weights};

/// Width of one attention head in every CLIP; the number of heads follows from it.
const HEAD_WIDTH: i64 = 64;
/// Added to the variance in layer normalisation.
const NORM_EPS: f64 = 1e-5;
/// The slope constant of QuickGELU.
const QUICK_GELU: f64 = 1.702;

/// Layer normalisation in the wide kind, whatever kind the network computes in.
#[derive(Debug)]
pub(super) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    kind: Kind,
    wide: Kind,
}

impl LayerNorm {
    pub(super) fn take(mut scope: Scope<'_>, width: i64) -> Result<Self, LoadError> {
        let (kind, wide) = (scope.weights().kind(), scope.weights().wide_kind());
        let weight = scope.take("weight", &[width])?;
        let bias = scope.take("bias", &[width])?;
        let weight = scope.prepare("weight", || weight.f_to_kind(wide))?;
        let bias = scope.prepare("bias", || bias.f_to_kind(wide))?;
        Ok(LayerNorm { weight, bias, kind, wide })
    }

    /// Over the last dimension of `[.., width]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let x = x.f_to_kind(self.wide)?;
        let y = x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), NORM_EPS, false)?;
        y.f_to_kind(self.kind)
    }
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn take(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Result<Self, LoadError> {
        let weight = scope.take("weight", &[outputs, inputs])?;
        let bias = scope.take("bias", &[outputs])?;
        Ok(Linear { weight, bias })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }
}

/// Multi-head self-attention, stored as `torch.nn.MultiheadAttention` stores it.
///
/// Written as products and a softmax: the fused kernels of libtorch choose their algorithm by device and batch, and some
/// of them have no second derivative.
#[derive(Debug)]
struct Attention {
    /// Query, key and value stacked: `[3 width, width]`.
    inputs: Linear,
    output: Linear,
    width: i64,
    wide: Kind,
}

impl Attention {
    fn take(mut scope: Scope<'_>, width: i64) -> Result<Self, LoadError> {
        let wide = scope.weights().wide_kind();
        let weight = scope.take("in_proj_weight", &[3 * width, width])?;
        let bias = scope.take("in_proj_bias", &[3 * width])?;
        let output = Linear::take(scope.scope("out_proj"), width, width)?;
        Ok(Attention { inputs: Linear { weight, bias }, output, width, wide })
    }

    /// `x` `[B, N, width]`; `mask` `[N, N]` is added to the scores.
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, TchError> {
        let (b, n, width) = x.size3()?;
        let heads = self.width / HEAD_WIDTH;
        let qkv = self.inputs.forward(x)?.f_view([b, n, 3, heads, HEAD_WIDTH])?.f_permute([2, 0, 3, 1, 4])?;
        let (q, k, v) = (qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?); // [B, heads, N, 64]
        let q = q.f_multiply_scalar((HEAD_WIDTH as f64).sqrt().recip())?;
        let mut scores = q.f_matmul(&k.f_transpose(-1, -2)?)?; // [B, heads, N, N]
        if let Some(mask) = mask {
            scores = scores.f_add(mask)?;
        }
        let share = scores.f_softmax(-1, self.wide)?.f_to_kind(v.f_kind()?)?;
        let mixed = share.f_matmul(&v)?.f_transpose(1, 2)?.f_reshape([b, n, width])?;
        self.output.forward(&mixed)
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Debug)]
struct Block {
    norm_attention: LayerNorm,
    attention: Attention,
    norm_mlp: LayerNorm,
    expand: Linear,
    contract: Linear,
    activation: Activation,
}

impl Block {
    fn take(mut scope: Scope<'_>, width: i64, activation: Activation) -> Result<Self, LoadError> {
        Ok(Block {
            norm_attention: LayerNorm::take(scope.scope("ln_1"), width)?,
            attention: Attention::take(scope.scope("attn"), width)?,
            norm_mlp: LayerNorm::take(scope.scope("ln_2"), width)?,
            expand: Linear::take(scope.scope("mlp.c_fc"), width, 4 * width)?,
            contract: Linear::take(scope.scope("mlp.c_proj"), 4 * width, width)?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, TchError> {
        let x = x.f_add(&self.attention.forward(&self.norm_attention.forward(x)?, mask)?)?;
        let hidden = self.expand.forward(&self.norm_mlp.forward(&x)?)?;
        let hidden = match self.activation {
            Activation::QuickGelu => hidden.f_mul(&hidden.f_multiply_scalar(QUICK_GELU)?.f_sigmoid()?)?,
            Activation::Gelu => hidden.f_gelu("none")?,
        };
        x.f_add(&self.contract.forward(&hidden)?)
    }
}

/// A stack of blocks of one width.
#[derive(Debug)]
pub(super) struct Transformer {
    blocks: Vec<Block>,
}

impl Transformer {
    /// Takes `{prefix}.resblocks.{0..}`; the depth is what the file has, and must be at least one.
    ///
    /// `width_from` is the tensor that told the width, for the error about one that is not a multiple of 64.
    pub(super) fn take(
        weights: &mut Weights,
        prefix: &str,
        width: i64,
        width_from: &str,
        activation: Activation,
    ) -> Result<Self, LoadError> {
        if width == 0 || width % HEAD_WIDTH != 0 {
            let found = weights.shape(width_from).unwrap_or_else(|_| vec![width]);
            return Err(weights.shape_error(width_from, "a transformer width that is a multiple of 64", found));
        }
        let depth = weights.count(&format!("{prefix}.resblocks."), 0, ".ln_1.weight").max(1);
        let blocks = (0..depth)
            .map(|i| Block::take(weights.scope(&format!("{prefix}.resblocks.{i}")), width, activation))
            .collect::<Result<_, _>>()?;
        Ok(Transformer { blocks })
    }

    pub(super) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// `x` `[B, N, width]` -> the same; `mask` `[N, N]` is added to every block's scores.
    pub(super) fn forward(&self, x: Tensor, mask: Option<&Tensor>) -> Result<Tensor, TchError> {
        self.blocks.iter().try_fold(x, |x, block| block.forward(&x, mask))
    }
}

/// `[n, n]` with zeros up to the diagonal and -inf after it, so that no token sees a later one.
pub(super) fn causal_mask(n: i64, kind: Kind, device: Device) -> Result<Tensor, TchError> {
    Tensor::f_full([n, n], f64::NEG_INFINITY, (kind, device))?.f_triu(1)
}
