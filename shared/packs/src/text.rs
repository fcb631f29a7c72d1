//! The template set of a pack. How a text is expanded with it is the engine's (`editing::templates`).

use serde::{Deserialize, Serialize};

/// The template set: a text's feature is the mean over templates x subjects (prompt ensembling, Radford et al. 2021, §3.1.4).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The neutral text that edits assume when they name none; one of `subjects`.
    pub neutral: String,
    /// Phrases that may stand for the neutral text, for example "a face", "a person".
    pub subjects: Vec<String>,
    /// Sentences with one `{}` where the phrase goes.
    pub templates: Vec<String>,
}
