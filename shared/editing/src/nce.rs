//! CLIP-NCE, the contrastive loss of CF-CLIP (Yu et al. 2022; criteria/nce_loss.py, infonce.py of the published code).
//!
//! With `E` the unit CLIP feature, `x` the unedited and `x'` the edited image, `t_j`, `s_j` the features of the target and
//! neutral sentences and `N(v) = v / |v|`, the query is `q = (E(view(x')) - E(x)) / length`, and it is contrasted with
//!
//! - positive 1, the text direction `N(mean_j (t_j - s_j))`,
//! - positive 2, per image, `N(mean_j t_j - E(x))`,
//! - negatives, per image, `N(s_j - E(x))`,
//!
//! in two rows per view (one positive and all negatives each) of cross-entropy over cosines / tau. An item's loss is the
//! mean over its rows. The published code takes the negatives of every image from the first of its batch
//! ([`Anchors::share_first_negatives`]); by default each image has its own, so that an item does not depend on its batch-mates.

use crate::error::EditError;
use crate::text::{EditText, length, unit};
use domain::edit::{NceLoss, Query};
use tch::{TchError, Tensor};

/// The constants of some images under one edit, one row per image.
#[derive(Debug)]
pub struct Anchors {
    /// `E(x)`, `[B, D]`.
    source: Tensor,
    /// The two positives, `[B, 2, D]`.
    positives: Tensor,
    /// `[B, T, D]`.
    negatives: Tensor,
}

impl Anchors {
    /// From the unit features `E(x)`, `[B, D]`, of the unedited images.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(text: &EditText, source: &Tensor) -> Result<Self, TchError> {
        tch::no_grad(|| {
            let toward_target = unit(&text.target.f_sub(source)?)?;
            let direction = text.direction.f_expand_as(source)?;
            let positives = Tensor::f_stack(&[&direction, &toward_target], 1)?;
            let negatives = unit(&text.neutral.f_sub(&source.f_unsqueeze(1)?)?)?;
            Ok(Self { source: source.shallow_clone(), positives, negatives })
        })
    }

    /// Those of the images in `rows`, an index tensor `[kept]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn rows(&self, rows: &Tensor) -> Result<Self, TchError> {
        let pick = |tensor: &Tensor| tensor.f_index_select(0, rows);
        Ok(Self { source: pick(&self.source)?, positives: pick(&self.positives)?, negatives: pick(&self.negatives)? })
    }

    /// Gives every image the negatives of the first, as the published code does.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn share_first_negatives(&mut self) -> Result<(), TchError> {
        self.negatives = self.negatives.f_narrow(0, 0, 1)?.f_expand_as(&self.negatives)?;
        Ok(())
    }
}

/// The loss per item, `[B]`, of unit features `[B, V, D]` of the views of the edited images. Gradients flow to them.
///
/// # Errors
/// When shapes do not fit or libtorch fails.
pub fn loss(anchors: &Anchors, views: &Tensor, settings: &NceLoss) -> Result<Tensor, EditError> {
    let moved = views.f_sub(&anchors.source.f_unsqueeze(1)?)?;
    let floor = match settings.query {
        Query::Normalised {} => 1e-12,
        Query::Floored { floor } => floor,
    };
    let query = moved.f_div(&length(&moved)?.f_clamp_min(floor)?)?;
    let cosines = |others: &Tensor| query.f_bmm(&others.f_transpose(1, 2)?)?.f_divide_scalar(settings.temperature);
    let positive = cosines(&anchors.positives)?.f_unsqueeze(-1)?; // [B, V, 2, 1]
    let negative = cosines(&anchors.negatives)?.f_unsqueeze(2)?; // [B, V, 1, T]
    let (items, views, terms) = (query.size()[0], query.size()[1], negative.size()[3]);
    let negative = negative.f_expand([items, views, 2, terms], false)?;
    let rows = Tensor::f_cat(&[&positive, &negative], -1)?.f_logsumexp([-1_i64].as_slice(), true)?.f_sub(&positive)?;
    Ok(rows.f_mean_dim([1_i64, 2, 3].as_slice(), false, None)?)
}
