//! StyleGAN-NADA's directional loss (Gal et al. 2021; criteria/clip_loss.py) on latents:
//! `1 - cos(E(view(x')) - E(x), d)`, the mean over the views, with `d` the unit direction from the neutral to the target text.
//!
//! It says nothing about how far to go: any step of the right direction satisfies it.

use crate::text::{EditText, unit};
use tch::{TchError, Tensor};

/// The constants of some images under one edit.
#[derive(Debug)]
pub struct Course {
    /// `E(x)`, `[B, D]`.
    source: Tensor,
    /// `[D, 1]`.
    direction: Tensor,
}

impl Course {
    /// From the unit features `E(x)`, `[B, D]`, of the unedited images.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(text: &EditText, source: &Tensor) -> Result<Self, TchError> {
        Ok(Self { source: source.shallow_clone(), direction: text.direction.f_unsqueeze(1)? })
    }

    /// Those of the images in `rows`, an index tensor `[kept]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn rows(&self, rows: &Tensor) -> Result<Self, TchError> {
        Ok(Self { source: self.source.f_index_select(0, rows)?, direction: self.direction.shallow_clone() })
    }

    /// The loss per item, `[B]`, of unit features `[B, V, D]`. Gradients flow to them.
    ///
    /// # Errors
    /// When shapes do not fit or libtorch fails.
    pub fn loss(&self, views: &Tensor) -> Result<Tensor, TchError> {
        let moved = unit(&views.f_sub(&self.source.f_unsqueeze(1)?)?)?;
        let cosines = moved.f_matmul(&self.direction)?.f_mean_dim([1_i64, 2].as_slice(), false, None)?;
        cosines.f_neg()?.f_add_scalar(1.0)
    }
}
