//! How a source image becomes a W+ latent.

use crate::edit::{SpecError, within};
use serde::{Deserialize, Serialize};

/// An inversion method with its parameters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Inversion {
    /// One pass of the pack's encoder (e4e): W+ = w0 + deltas.
    Encoder {},
    /// The encoder, then gradient steps on the W+ latent against the image; the generator's noise is kept.
    Hybrid(Refinement),
}

impl Default for Inversion {
    fn default() -> Self {
        Self::Encoder {}
    }
}

/// W+ refinement: Adam on `L1 + L2 + 0.5 * (L1 at 1/2 and 1/4 size) + pull * |w - w_encoder|^2`, all means per item.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Refinement {
    /// Gradient steps, 1 to 2000.
    pub steps: u32,
    /// Peak learning rate of Adam; cosine decay to 5 % of it.
    pub learning_rate: f64,
    /// Weight of the squared distance to the encoder's latent.
    pub pull: f64,
}

impl Default for Refinement {
    fn default() -> Self {
        Self { steps: 100, learning_rate: 0.02, pull: 0.02 }
    }
}

impl Inversion {
    /// Checks every number.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn validate(&self) -> Result<(), SpecError> {
        match self {
            Self::Encoder {} => Ok(()),
            Self::Hybrid(r) => {
                within("inversion.steps", f64::from(r.steps), 1.0, 2000.0)?;
                within("inversion.learning_rate", r.learning_rate, 1e-6, 1.0)?;
                within("inversion.pull", r.pull, 0.0, 100.0)
            }
        }
    }

    /// The name shown to people.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Encoder {} => "encoder",
            Self::Hybrid(_) => "hybrid",
        }
    }
}
