//! CLIP's vision transformer.

use tch::{TchError, Tensor};

use super::Activation;
use super::image::VisionShape;
use super::transformer::{Heads, LayerNorm, Transformer};
use crate::error::LoadError;
use crate::weights::Weights;

/// The widest vision transformer whose heads are 64 wide in every published CLIP. The wider ones (open_clip's H, g, bigG
/// and e) all have 16 heads, where the rule would say 20 and more.
const WIDEST_WITH_KNOWN_HEADS: i64 = 1024;

/// Patches and a class token through a transformer; the class token's output is the image's feature.
#[derive(Debug)]
pub(super) struct VisionTransformer {
    pub(super) size: i64,
    patch: i64,
    width: i64,
    transformer: Transformer,
    /// `[width, 3, patch, patch]`, stride `patch`, no bias.
    embed_patch: Tensor,
    /// `[1, 1, width]`.
    class_token: Tensor,
    /// `[1 + grid², width]`, class token first.
    positions: Tensor,
    norm_before: LayerNorm,
    norm_after: LayerNorm,
    /// `[width, embed]`, applied as `x · P`.
    projection: Tensor,
}

impl VisionTransformer {
    pub(super) fn take(
        weights: &mut Weights,
        embed: i64,
        activation: Activation,
        heads: Option<i64>,
    ) -> Result<Self, LoadError> {
        let [width] = weights.dims("visual.class_embedding")?;
        let [_, _, _, patch] = weights.dims("visual.conv1.weight")?;
        let [tokens, _] = weights.dims("visual.positional_embedding")?;
        let grid = tokens.saturating_sub(1).max(0).isqrt();
        if grid == 0 || grid * grid + 1 != tokens {
            let name = "visual.positional_embedding";
            return Err(weights.shape_error(name, "[1 + grid², width], a square of patches", weights.shape(name)?));
        }
        if heads.is_none() && width > WIDEST_WITH_KNOWN_HEADS {
            let reason = format!("must be given for a vision transformer {width} wide: open_clip's have 16");
            return Err(weights.setting_error("vision_heads", reason));
        }
        let heads = Heads { setting: "vision_heads", told: heads, width_from: "visual.class_embedding" };
        let transformer = Transformer::take(weights, "visual.transformer", width, heads, activation)?;
        let class_token = weights.take("visual.class_embedding", &[width])?;
        let class_token = class_token
            .f_view([1, 1, width])
            .map_err(|source| weights.torch_error("visual.class_embedding", source))?;
        Ok(VisionTransformer {
            size: grid * patch,
            patch,
            width,
            transformer,
            embed_patch: weights.take("visual.conv1.weight", &[width, 3, patch, patch])?,
            class_token,
            positions: weights.take("visual.positional_embedding", &[tokens, width])?,
            norm_before: LayerNorm::take(weights.scope("visual.ln_pre"), width)?,
            norm_after: LayerNorm::take(weights.scope("visual.ln_post"), width)?,
            projection: weights.take("visual.proj", &[width, embed])?,
        })
    }

    pub(super) fn shape(&self) -> VisionShape {
        let (patch, width, transformer) = (self.patch, self.width, &self.transformer);
        VisionShape::Vit { patch, width, layers: transformer.depth(), heads: transformer.heads() }
    }

    /// `[B, 3, S, S]` -> `[B, embed]`.
    pub(super) fn forward(&self, pixels: &Tensor) -> Result<Tensor, TchError> {
        let stride = [self.patch, self.patch];
        let patches = pixels.f_conv2d(&self.embed_patch, None::<&Tensor>, stride, [0, 0], [1, 1], 1)?;
        let patches = patches.f_flatten(2, 3)?.f_transpose(1, 2)?; // [B, grid², width]
        let class_token = self.class_token.f_expand([pixels.size()[0], 1, self.width], false)?;
        let x = Tensor::f_cat(&[class_token, patches], 1)?.f_add(&self.positions)?;
        let class = self.transformer.forward_first(self.norm_before.forward(&x)?)?; // [B, width]
        self.norm_after.forward(&class)?.f_matmul(&self.projection)
    }
}
