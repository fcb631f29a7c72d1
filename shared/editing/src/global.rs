//! StyleCLIP's global loss (Patashnik et al. 2021; criteria/clip_loss.py): `1 - cos(E(view(x')), t)`, the mean over the views.
//!
//! `t` is the unit mean of the target sentences; StyleCLIP's own single prompt is the template set `prompt`. The loss looks at
//! where the edited image is, not at how it got there, so it also rewards whatever else CLIP associates with the text.

use crate::text::{EditText, unit};
use tch::{TchError, Tensor};

/// The constant of an edit: where the image should go.
#[derive(Debug)]
pub struct Destination {
    /// `[D, 1]`.
    target: Tensor,
}

impl Destination {
    /// Of one edit.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(text: &EditText) -> Result<Self, TchError> {
        Ok(Self { target: unit(&text.target)?.f_unsqueeze(1)? })
    }

    /// The loss per item, `[B]`, of unit features `[B, V, D]`. Gradients flow to them.
    ///
    /// # Errors
    /// When shapes do not fit or libtorch fails.
    pub fn loss(&self, views: &Tensor) -> Result<Tensor, TchError> {
        let cosines = views.f_matmul(&self.target)?.f_mean_dim([1_i64, 2].as_slice(), false, None)?;
        cosines.f_neg()?.f_add_scalar(1.0)
    }
}
