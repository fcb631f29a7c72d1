//! The three losses behind one signature: unit CLIP features of the views in, one loss per image out.

use crate::directional::Course;
use crate::error::EditError;
use crate::global::Destination;
use crate::nce::{self, Anchors};
use crate::text::EditText;
use domain::edit::{NceLoss, Negatives, Objective};
use tch::{TchError, Tensor};

/// An objective with its constants for some images.
#[derive(Debug)]
pub enum Aim {
    /// CF-CLIP's contrastive loss.
    Nce {
        /// Positives and negatives.
        anchors: Anchors,
        /// Its settings.
        settings: NceLoss,
        /// Whose negatives.
        negatives: Negatives,
    },
    /// StyleCLIP's global loss.
    Global(Destination),
    /// StyleGAN-NADA's directional loss.
    Directional(Course),
}

impl Aim {
    /// The objective for images whose unedited unit features are `source` `[N, D]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(
        objective: Objective<'_>,
        text: &EditText,
        source: &Tensor,
        negatives: Negatives,
    ) -> Result<Self, TchError> {
        Ok(match objective {
            Objective::Nce(settings) => {
                Self::Nce { anchors: Anchors::new(text, source)?, settings: settings.clone(), negatives }
            }
            Objective::Global(_) => Self::Global(Destination::new(text)?),
            Objective::Directional(_) => Self::Directional(Course::new(text, source)?),
        })
    }

    /// The loss per image, `[B]`, of unit features `[B, V, D]` of the views of the images at `rows`, an index tensor `[B]`.
    ///
    /// # Errors
    /// When shapes do not fit or libtorch fails.
    pub fn loss(&self, rows: &Tensor, views: &Tensor) -> Result<Tensor, EditError> {
        Ok(match self {
            Self::Nce { anchors, settings, negatives } => {
                let mut anchors = anchors.rows(rows)?;
                if *negatives == Negatives::FirstImage {
                    anchors.share_first_negatives()?;
                }
                nce::loss(&anchors, views, settings)?
            }
            Self::Global(destination) => destination.loss(views)?,
            Self::Directional(course) => course.rows(rows)?.loss(views)?,
        })
    }
}
