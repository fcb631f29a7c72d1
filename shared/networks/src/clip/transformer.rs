//! The pre-norm residual transformer that both towers of CLIP share.

use tch::{Device, Kind, TchError, Tensor};

use super::Activation;
use crate::error::LoadError;
use crate::products::linear;
use crate::weights::{Scope, Weights};

/// Width of one attention head in OpenAI's CLIPs; the number of heads follows from it where nothing else is said.
const HEAD_WIDTH: i64 = 64;
/// Added to the variance in layer normalisation.
const NORM_EPS: f64 = 1e-5;
/// The slope constant of QuickGELU.
const QUICK_GELU: f64 = 1.702;

/// How many heads an attention has, which no tensor's shape shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// The setting that tells, for errors.
    pub(super) setting: &'static str,
    /// What it says; without it heads are 64 wide.
    pub(super) told: Option<i64>,
    /// The tensor that told the width, for errors.
    pub(super) width_from: &'static str,
}

impl Heads {
    /// The number of heads in an attention of this width.
    pub(super) fn of_width(self, weights: &Weights, width: i64) -> Result<i64, LoadError> {
        match self.told {
            Some(heads) if heads > 0 && width > 0 && width % heads == 0 => Ok(heads),
            Some(heads) => {
                let reason = format!("is {heads}, expected a divisor of the attention's width, {width}");
                Err(weights.setting_error(self.setting, reason))
            }
            None if width > 0 && width % HEAD_WIDTH == 0 => Ok(width / HEAD_WIDTH),
            None => {
                let found = weights.shape(self.width_from).unwrap_or_else(|_| vec![width]);
                let expected = format!("a width that makes attention a multiple of 64 wide, or {} told", self.setting);
                Err(weights.shape_error(self.width_from, &expected, found))
            }
        }
    }
}

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
        linear(x, &self.weight, Some(&self.bias))
    }
}

/// `softmax(q kᵀ / √width + mask) v`, head by head: `[B, heads, N, width]` with `[B, heads, M, width]` twice ->
/// `[B, N, heads · width]`. `mask` `[N, M]` is added to the scores; the shares are computed in kind `wide`.
///
/// Written as products and a softmax: the fused kernels of libtorch choose their algorithm by device and batch, and some
/// of them have no second derivative.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Option<&Tensor>,
    wide: Kind,
) -> Result<Tensor, TchError> {
    let (b, heads, n, width) = q.size4()?;
    let q = q.f_multiply_scalar((width as f64).sqrt().recip())?;
    let mut scores = q.f_matmul(&k.f_transpose(-1, -2)?)?; // [B, heads, N, M]
    if let Some(mask) = mask {
        scores = scores.f_add(mask)?;
    }
    let share = scores.f_softmax(-1, wide)?.f_to_kind(v.f_kind()?)?;
    share.f_matmul(v)?.f_transpose(1, 2)?.f_reshape([b, n, heads * width])
}

/// Multi-head self-attention, stored as `torch.nn.MultiheadAttention` stores it.
#[derive(Debug)]
struct Attention {
    /// Query, key and value stacked: `[3 width, width]`.
    inputs: Linear,
    output: Linear,
    heads: i64,
    wide: Kind,
}

impl Attention {
    fn take(mut scope: Scope<'_>, width: i64, heads: i64) -> Result<Self, LoadError> {
        let wide = scope.weights().wide_kind();
        let weight = scope.take("in_proj_weight", &[3 * width, width])?;
        let bias = scope.take("in_proj_bias", &[3 * width])?;
        let output = Linear::take(scope.scope("out_proj"), width, width)?;
        Ok(Attention { inputs: Linear { weight, bias }, output, heads, wide })
    }

    /// `x` `[B, N, width]`; `mask` `[N, N]` is added to the scores.
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, TchError> {
        let (b, n, width) = x.size3()?;
        let qkv = self.inputs.forward(x)?.f_view([b, n, 3, self.heads, width / self.heads])?;
        let qkv = qkv.f_permute([2, 0, 3, 1, 4])?; // [3, B, heads, N, head width]
        let (q, k, v) = (qkv.f_select(0, 0)?, qkv.f_select(0, 1)?, qkv.f_select(0, 2)?);
        self.output.forward(&attend(&q, &k, &v, mask, self.wide)?)
    }

    /// The first row of `forward`, `[B, 1, width]`: it asks all of `x` `[B, N, width]`, and the others ask nothing.
    fn forward_first(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (b, n, width) = x.size3()?;
        let Linear { weight, bias } = &self.inputs;
        let part = |from: i64, rows: i64, x: &Tensor| {
            linear(x, &weight.f_narrow(0, from, rows)?, Some(&bias.f_narrow(0, from, rows)?))
        };
        let q = part(0, width, &x.f_narrow(1, 0, 1)?)?.f_view([b, 1, self.heads, width / self.heads])?;
        let kv = part(width, 2 * width, x)?.f_view([b, n, 2, self.heads, width / self.heads])?;
        let kv = kv.f_permute([2, 0, 3, 1, 4])?; // [2, B, heads, N, head width]
        let q = q.f_transpose(1, 2)?; // [B, heads, 1, head width]
        self.output.forward(&attend(&q, &kv.f_select(0, 0)?, &kv.f_select(0, 1)?, None, self.wide)?)
    }
}

/// `x + scale(attention(norm(x)))`, then `x + scale(mlp(norm(x)))`. Few of open_clip's models have the scales.
#[derive(Debug)]
struct Block {
    norm_attention: LayerNorm,
    attention: Attention,
    scale_attention: Option<Tensor>,
    norm_mlp: LayerNorm,
    expand: Linear,
    contract: Linear,
    scale_mlp: Option<Tensor>,
    activation: Activation,
}

impl Block {
    fn take(mut scope: Scope<'_>, width: i64, heads: i64, activation: Activation) -> Result<Self, LoadError> {
        let [hidden, _] = scope.dims("mlp.c_fc.weight")?;
        Ok(Block {
            norm_attention: LayerNorm::take(scope.scope("ln_1"), width)?,
            attention: Attention::take(scope.scope("attn"), width, heads)?,
            scale_attention: scope.take_optional("ls_1.gamma", &[width])?,
            norm_mlp: LayerNorm::take(scope.scope("ln_2"), width)?,
            expand: Linear::take(scope.scope("mlp.c_fc"), width, hidden)?,
            contract: Linear::take(scope.scope("mlp.c_proj"), hidden, width)?,
            scale_mlp: scope.take_optional("ls_2.gamma", &[width])?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor, TchError> {
        self.after_attention(x, self.attention.forward(&self.norm_attention.forward(x)?, mask)?)
    }

    /// The first row of `forward` without a mask, `[B, 1, width]` of `[B, N, width]`.
    fn forward_first(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mixed = self.attention.forward_first(&self.norm_attention.forward(x)?)?;
        self.after_attention(&x.f_narrow(1, 0, 1)?, mixed)
    }

    /// What follows the attention of the rows of `x`.
    fn after_attention(&self, x: &Tensor, mixed: Tensor) -> Result<Tensor, TchError> {
        let x = x.f_add(&scaled(mixed, self.scale_attention.as_ref())?)?;
        let hidden = self.expand.forward(&self.norm_mlp.forward(&x)?)?;
        let hidden = match self.activation {
            Activation::QuickGelu => hidden.f_mul(&hidden.f_multiply_scalar(QUICK_GELU)?.f_sigmoid()?)?,
            Activation::Gelu => hidden.f_gelu("none")?,
        };
        x.f_add(&scaled(self.contract.forward(&hidden)?, self.scale_mlp.as_ref())?)
    }
}

fn scaled(x: Tensor, scale: Option<&Tensor>) -> Result<Tensor, TchError> {
    match scale {
        Some(scale) => x.f_mul(scale),
        None => Ok(x),
    }
}

/// A stack of blocks of one width.
#[derive(Debug)]
pub(super) struct Transformer {
    blocks: Vec<Block>,
    heads: i64,
}

impl Transformer {
    /// Takes `{prefix}.resblocks.{0..}`; the depth is what the file has, and must be at least one.
    pub(super) fn take(
        weights: &mut Weights,
        prefix: &str,
        width: i64,
        heads: Heads,
        activation: Activation,
    ) -> Result<Self, LoadError> {
        let heads = heads.of_width(weights, width)?;
        let depth = weights.count(&format!("{prefix}.resblocks."), 0, ".ln_1.weight").max(1);
        let blocks = (0..depth)
            .map(|i| Block::take(weights.scope(&format!("{prefix}.resblocks.{i}")), width, heads, activation))
            .collect::<Result<_, _>>()?;
        Ok(Transformer { blocks, heads })
    }

    /// Attention heads of each block.
    pub(super) fn heads(&self) -> i64 {
        self.heads
    }

    pub(super) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// `x` `[B, N, width]` -> the same; `mask` `[N, N]` is added to every block's scores.
    pub(super) fn forward(&self, x: Tensor, mask: Option<&Tensor>) -> Result<Tensor, TchError> {
        self.blocks.iter().try_fold(x, |x, block| block.forward(&x, mask))
    }

    /// The first row of what `forward` makes of `x` `[B, N, width]` without a mask, `[B, width]`. The last block computes no other:
    /// five sixths of its products, a fourteenth of a transformer of twelve blocks.
    pub(super) fn forward_first(&self, x: Tensor) -> Result<Tensor, TchError> {
        let Some((last, others)) = self.blocks.split_last() else { return x.f_select(1, 0) };
        let x = others.iter().try_fold(x, |x, block| block.forward(&x, None))?;
        last.forward_first(&x)?.f_squeeze_dim(1)
    }
}

/// `[n, n]` with zeros up to the diagonal and -inf after it, so that no token sees a later one.
pub(super) fn causal_mask(n: i64, kind: Kind, device: Device) -> Result<Tensor, TchError> {
    Tensor::f_full([n, n], f64::NEG_INFINITY, (kind, device))?.f_triu(1)
}
