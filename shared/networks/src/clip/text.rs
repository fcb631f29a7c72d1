//! CLIP's causal text transformer.

use tch::{TchError, Tensor};

use super::Activation;
use super::transformer::{Heads, LayerNorm, Transformer, causal_mask};
use crate::error::LoadError;
use crate::weights::Weights;

/// Token ids through a causal transformer; the output at the end-of-text token is the text's feature.
#[derive(Debug)]
pub(super) struct TextTower {
    pub(super) context: i64,
    pub(super) vocab: i64,
    pub(super) width: i64,
    pub(super) transformer: Transformer,
    /// `[vocab, width]`.
    token_embedding: Tensor,
    /// `[context, width]`.
    positions: Tensor,
    /// `[context, context]`.
    mask: Tensor,
    norm: LayerNorm,
    /// `[width, embed]`, applied as `x · P`.
    projection: Tensor,
}

impl TextTower {
    pub(super) fn take(
        weights: &mut Weights,
        embed: i64,
        activation: Activation,
        heads: Option<i64>,
    ) -> Result<Self, LoadError> {
        let [vocab, width] = weights.dims("token_embedding.weight")?;
        let [context, _] = weights.dims("positional_embedding")?;
        let heads = Heads { setting: "text_heads", told: heads, width_from: "token_embedding.weight" };
        let transformer = Transformer::take(weights, "transformer", width, heads, activation)?;
        let mask = causal_mask(context, weights.kind(), weights.device())
            .map_err(|source| weights.torch_error("positional_embedding", source))?;
        Ok(TextTower {
            context,
            vocab,
            width,
            transformer,
            token_embedding: weights.take("token_embedding.weight", &[vocab, width])?,
            positions: weights.take("positional_embedding", &[context, width])?,
            mask,
            norm: LayerNorm::take(weights.scope("ln_final"), width)?,
            projection: weights.take("text_projection", &[width, embed])?,
        })
    }

    /// `[B, context]` int64 -> `[B, embed]`.
    ///
    /// All positions are computed, although those after the end have no effect: cutting the batch to its longest text
    /// would make a text's rounding depend on its neighbours.
    pub(super) fn forward(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let x = Tensor::f_embedding(&self.token_embedding, tokens, -1, false, false)?.f_add(&self.positions)?;
        let x = self.transformer.forward(x, Some(&self.mask))?; // [B, context, width]
        let end = tokens.f_argmax(1, false)?.f_view([-1, 1, 1])?.f_expand([-1, 1, self.width], false)?;
        let x = x.f_gather(1, &end, false)?.f_squeeze_dim(1)?; // [B, width]
        self.norm.forward(&x)?.f_matmul(&self.projection)
    }
}
