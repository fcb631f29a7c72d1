//! What of a record leaves with the picture. The record itself stays with the dataset; texts can be personal data, and where and for
//! whom a picture was made concerns few who see it.

use super::{Recipe, Record};
use crate::digest::Digest;
use serde::{Deserialize, Serialize};

/// The schema name of an excerpt.
pub const EXCERPT_SCHEMA: &str = "counterfactory/excerpt/1";

/// How much of a record leaves with the picture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// The record's digest: who has the record can prove that it is the picture's.
    Minimal,
    /// The recipe too: enough to say what was asked for, and to ask for it again.
    Standard,
    /// The whole record: enough to verify and replay without anything else but the source and the weights.
    #[default]
    Full,
}

impl Detail {
    /// The names, from the least.
    pub const NAMES: [&'static str; 3] = ["minimal", "standard", "full"];

    /// Its name.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// True for what is left out of specifications because it is the default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a picture says of a record that does not travel with it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Excerpt {
    /// [`EXCERPT_SCHEMA`].
    pub schema: String,
    /// SHA-256 of the record's canonical JSON.
    pub record_digest: Digest,
    /// Digest of the recipe's canonical JSON, beside the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe_digest: Option<Digest>,
    /// The recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
}

impl Excerpt {
    /// What `detail` lets out of the record whose digest is `digest`; none if all of it may leave.
    pub fn of(record: &Record, digest: Digest, detail: Detail) -> Option<Self> {
        let standard = match detail {
            Detail::Minimal => false,
            Detail::Standard => true,
            Detail::Full => return None,
        };
        Some(Self {
            schema: EXCERPT_SCHEMA.to_owned(),
            record_digest: digest,
            recipe_digest: standard.then_some(record.recipe_digest),
            recipe: standard.then(|| record.recipe.clone()),
        })
    }
}
