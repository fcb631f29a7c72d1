//! Edits: a target text, the neutral text it departs from, and the method that makes the change.

mod amortised;
mod guards;
mod loss;
mod method;
mod numerics;
mod per_image;
mod released;

pub use amortised::{CfMapper, Layers, MapperNetwork, Optimiser, Schedule, StyleclipMapper, Training};
pub use guards::{Guards, Region, RegionSource, StrengthSearch};
pub use loss::{DirectionalLoss, GlobalLoss, NceLoss, Objective, Outside, Query, Views};
pub use method::Method;
pub use numerics::{ClipInput, MapperText, Negatives, Numerics, PixelNormAxis, TemplateSet, ViewSharing};
pub use per_image::{ClipNce, Descent, Directional, EarlyStop, Styleclip};
pub use released::{ReleasedMapper, SourceFile};

use crate::accept::Acceptance;
use crate::digest::{CanonicalError, Digest, digest_of};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// The longest text accepted, in characters. CLIP sees at most 77 tokens; anything near this is a mistake.
pub const MAX_TEXT_CHARS: usize = 300;

/// A specification that cannot be accepted. The message names the field and what to do.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SpecError {
    /// A text that is empty after trimming.
    #[error("{field} is empty; give a text such as \"a face with green hair\"")]
    EmptyText {
        /// The path of the field.
        field: String,
    },
    /// A text longer than [`MAX_TEXT_CHARS`].
    #[error("{field} has {chars} characters; the limit is {MAX_TEXT_CHARS}")]
    LongText {
        /// The path of the field.
        field: String,
        /// How long it is.
        chars: usize,
    },
    /// A target that says no more than the neutral text: there is no direction to go.
    #[error("{field} says the same as the neutral text; say what should change, such as \"a face with green hair\"")]
    SameAsNeutral {
        /// The path of the field.
        field: String,
    },
    /// A number outside its range, or not finite.
    #[error("{field} is {value}; it must lie between {low} and {high}")]
    OutOfRange {
        /// The path of the field.
        field: String,
        /// What was given.
        value: f64,
        /// Smallest accepted value.
        low: f64,
        /// Largest accepted value.
        high: f64,
    },
    /// A list that must not be empty.
    #[error("{field} is empty; give at least one")]
    EmptyList {
        /// The path of the field.
        field: String,
    },
    /// A value that is well formed but cannot be used.
    #[error("{field}: {reason}")]
    Unusable {
        /// The path of the field.
        field: String,
        /// Why, and what to give.
        reason: String,
    },
    /// The same thing twice.
    #[error("{field} holds '{value}' twice; remove one or give it another name")]
    Duplicate {
        /// The path of the field.
        field: String,
        /// What is doubled.
        value: String,
    },
}

/// Refuses a number outside `low..=high` (and NaN).
pub(crate) fn within(field: &str, value: f64, low: f64, high: f64) -> Result<(), SpecError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(SpecError::OutOfRange { field: field.to_owned(), value, low, high })
}

/// Refuses an empty or over-long text.
pub(crate) fn text_fits(field: &str, text: &str) -> Result<(), SpecError> {
    if text.trim().is_empty() {
        return Err(SpecError::EmptyText { field: field.to_owned() });
    }
    let chars = text.chars().count();
    if chars > MAX_TEXT_CHARS {
        return Err(SpecError::LongText { field: field.to_owned(), chars });
    }
    Ok(())
}

/// One counterfactual edit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditSpec {
    /// Short name in tables and file names; made from the text when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the edited image should show, for example "a face with green hair".
    #[schema(min_length = 1, max_length = 300, pattern = r"\S")]
    pub text: String,
    /// What the source shows without the edit (the paper's source word), for example "a face".
    #[serde(default = "default_neutral")]
    #[schema(min_length = 1, max_length = 300, pattern = r"\S", default = "a face")]
    pub neutral: String,
    /// How the edit is made.
    #[serde(default)]
    pub method: Method,
    /// Per image, the smallest strength that the judge reads as the target; the job's strengths are then the most it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength_search: Option<StrengthSearch>,
    /// When an output is accepted.
    #[serde(default, skip_serializing_if = "Acceptance::is_default")]
    pub accept: Acceptance,
    /// Which sources it is applied to; all when absent.
    #[serde(default, skip_serializing_if = "Selection::is_all")]
    pub only: Selection,
}

fn default_neutral() -> String {
    "a face".to_owned()
}

impl EditSpec {
    /// The given name, or the text in lower case with runs of other characters as one hyphen: `a-face-with-green-hair`.
    pub fn slug(&self) -> String {
        let text = self.name.as_deref().unwrap_or(&self.text);
        let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        words.join("-").to_lowercase()
    }

    /// What decides the edited image: texts, method and strength search; neither the name, the selection nor the rules of acceptance. Stage keys are made of it.
    pub const fn essence(&self) -> Essence<'_> {
        Essence {
            text: self.text.as_str(),
            neutral: self.neutral.as_str(),
            method: &self.method,
            strength_search: self.strength_search,
        }
    }

    /// What decides the edit's trained mapper: texts and method. How strongly it is applied is no part of it, so one mapper serves
    /// edits that differ in that alone.
    pub const fn mapper_essence(&self) -> Essence<'_> {
        Essence { strength_search: None, ..self.essence() }
    }

    /// Digest of [`EditSpec::mapper_essence`]; it keys the random numbers of the training.
    ///
    /// # Errors
    /// When a parameter is not finite, which [`EditSpec::validate`] excludes.
    pub fn mapper_identity(&self) -> Result<Digest, CanonicalError> {
        digest_of(&self.mapper_essence())
    }

    /// Digest of [`EditSpec::essence`]. It keys the random numbers, so that the same edit under another name gives the same image.
    ///
    /// # Errors
    /// When a parameter is not finite, which [`EditSpec::validate`] excludes.
    pub fn identity(&self) -> Result<Digest, CanonicalError> {
        digest_of(&self.essence())
    }

    /// Checks texts and numbers; `index` names the edit in messages.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn validate(&self, index: usize) -> Result<(), SpecError> {
        text_fits(&format!("edits[{index}].text"), &self.text)?;
        text_fits(&format!("edits[{index}].neutral"), &self.neutral)?;
        if self.text.trim().to_lowercase() == self.neutral.trim().to_lowercase() {
            return Err(SpecError::SameAsNeutral { field: format!("edits[{index}].text") });
        }
        if self.slug().is_empty() {
            return Err(SpecError::EmptyText { field: format!("edits[{index}].name") });
        }
        if let Some(search) = &self.strength_search {
            search.validate(&format!("edits[{index}].strength_search"))?;
        }
        self.accept.validate(&format!("edits[{index}].accept"))?;
        self.method.validate(&format!("edits[{index}].method"))
    }
}

/// The part of an edit that decides its result.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Essence<'a> {
    text: &'a str,
    neutral: &'a str,
    method: &'a Method,
    #[serde(skip_serializing_if = "Option::is_none")]
    strength_search: Option<StrengthSearch>,
}

/// The part of a dataset an edit is applied to, by the labels of the sources.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// A source qualifies if, for every label named here, its value is one of those listed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub having: BTreeMap<String, BTreeSet<String>>,
    /// A source does not qualify if any label named here has one of the values listed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<String, BTreeSet<String>>,
    /// At most this many qualifying sources, in dataset order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl Selection {
    /// True if every source qualifies.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a source with these labels qualifies (the limit is the caller's to count).
    pub fn admits(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |name: &String, values: &BTreeSet<String>| labels.get(name).is_some_and(|v| values.contains(v));
        self.having.iter().all(|(n, v)| has(n, v)) && !self.without.iter().any(|(n, v)| has(n, v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(json: &str) -> Result<EditSpec, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn defaults_are_the_methods_own() {
        let e = edit(r#"{"text":"a face with green hair","method":{"kind":"clip-nce","steps":10}}"#).unwrap();
        assert_eq!(e.method, Method::ClipNce(ClipNce { steps: 10, ..ClipNce::default() }));
        assert_eq!(e.slug(), "a-face-with-green-hair");
        assert_eq!(e.validate(0), Ok(()));
        let back = edit(&serde_json::to_string(&e).unwrap()).unwrap();
        assert_eq!(back, e);
    }

    #[test]
    fn edits_that_differ_in_their_strength_share_a_mapper_and_nothing_else() {
        let plain = edit(r#"{"text":"a face with green hair"}"#).unwrap();
        let searched = EditSpec { strength_search: Some(StrengthSearch::default()), ..plain.clone() };
        assert_eq!(plain.mapper_identity().unwrap(), searched.mapper_identity().unwrap());
        assert_ne!(plain.identity().unwrap(), searched.identity().unwrap());
    }

    #[test]
    fn a_misspelt_parameter_is_refused() {
        let error = edit(r#"{"text":"x","method":{"kind":"cf-mapper","stepz":10}}"#).unwrap_err();
        assert!(error.to_string().contains("stepz"), "{error}");
    }

    #[test]
    fn bad_texts_and_numbers_are_named() {
        let mut e = edit(r#"{"text":"  "}"#).unwrap();
        assert_eq!(e.validate(3), Err(SpecError::EmptyText { field: "edits[3].text".into() }));
        e.text = "x".repeat(301);
        assert!(matches!(e.validate(0), Err(SpecError::LongText { chars: 301, .. })));
        e.text = "x".into();
        e.method = Method::ClipNce(ClipNce { learning_rate: f64::NAN, ..ClipNce::default() });
        assert!(e.validate(0).unwrap_err().to_string().starts_with("edits[0].method.learning_rate"));
    }

    #[test]
    fn a_selection_reads_labels() {
        let labels = BTreeMap::from([("hair_style".to_owned(), "bald".to_owned())]);
        let bald = BTreeMap::from([("hair_style".to_owned(), BTreeSet::from(["bald".to_owned()]))]);
        assert!(!Selection { without: bald.clone(), ..Selection::default() }.admits(&labels));
        assert!(Selection { having: bald, ..Selection::default() }.admits(&labels));
        assert!(Selection::default().admits(&BTreeMap::new()));
    }
}
