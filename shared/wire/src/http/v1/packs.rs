//! Packs.

use domain::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Registers a pack whose files are already uploaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPack {
    /// The text of `pack.toml`, with every file's digest.
    pub manifest: String,
}

/// A registered pack.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pack {
    /// Its name: a job refers to it by this.
    pub name: String,
    /// Its identity.
    pub digest: Digest,
    /// Digest of the object that holds `pack.toml`.
    pub manifest: Digest,
    /// Resolution of its generator in pixels.
    pub resolution: u32,
}
