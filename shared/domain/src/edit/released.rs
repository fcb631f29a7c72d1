//! What the file of an imported mapper says of itself: the import writes it, the editing engine reads it.

use super::Layers;
use crate::digest::Digest;
use serde::{Deserialize, Serialize};

/// The note in a safetensors file of a mapper as CF-CLIP or StyleCLIP released it: the tensors under their released names
/// (`mapper.fc.weight`, `mapper.course_mapping.mapping.1.weight`, `text_mapper.mapper_0.mapping.1.weight`, …), the text not yet
/// folded in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReleasedMapper {
    /// [`ReleasedMapper::FORMAT`].
    pub format: String,
    /// Layers of W+ that it changes: 18 of a generator of 1024 px.
    pub n_latent: u32,
    /// Size of one latent.
    pub w_dim: u32,
    /// Width of the text feature it is told (CF-CLIP); none if it is told no text (StyleCLIP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_dim: Option<u32>,
    /// Which of the coarse (0 to 3), medium (4 to 7) and fine (8 and up) groups have a network.
    pub groups: Layers,
    /// True for `SingleMapper`: one network for all layers, kept under the first group's name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single: bool,
    /// SHA-256 of the generator's file in the pack it was imported for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Digest>,
    /// The text it was trained for, where its checkpoint says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where it came from.
    pub source: SourceFile,
}

/// A file that something was imported from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name, without folders.
    pub file: String,
    /// Its digest.
    pub sha256: Digest,
}

impl ReleasedMapper {
    /// The version of the layout.
    pub const FORMAT: &'static str = "released-mapper/1";
    /// The key of the note among a safetensors file's.
    pub const NOTE: &'static str = "counterfactory";
}
