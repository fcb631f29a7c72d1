//! Datasets and their sources.

use chrono::{DateTime, Utc};
use domain::{DatasetId, Digest, Landmarks};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Creates a dataset (or finds it: repeating is harmless).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDataset {
    /// Unique within the project.
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: String,
    /// Take every object under this `s3://bucket/prefix`, in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^s3://[^/]+(/.*)?$")]
    pub import: Option<String>,
}

/// A dataset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Dataset {
    /// Its id.
    pub id: DatasetId,
    /// Unique within the project.
    pub name: String,
    /// Sources registered so far.
    pub sources: i64,
    /// How many of them have a mask of each name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, i64>,
    /// How many of them have landmarks.
    #[serde(default)]
    pub landmarks: i64,
    /// Whether an import still runs.
    pub importing: bool,
    /// What the import could not take, one sentence each (the first 100).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub import_errors: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Registers sources whose bytes are already uploaded (`PUT /v1/blobs/{sha256}`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSources {
    /// At most 5,000 a request.
    #[schema(max_items = 5_000)]
    pub sources: Vec<NewSource>,
}

/// One source to register.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Where it came from, for people and for the record.
    #[schema(min_length = 1, max_length = 2_048, pattern = r"\S")]
    pub uri: String,
    /// Size in bytes.
    #[schema(minimum = 0)]
    pub bytes: i64,
    /// Labels, for selections and for audits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"gender": "woman"}))]
    pub labels: BTreeMap<String, String>,
    /// Masks by name, uploaded as the source is: images that are white where it may change. A source that is registered already
    /// gets those it lacks; one that it has is never replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, Digest>,
    /// The face in it, for jobs that frame faces: 68 points (iBUG's order) or 5 (eyes, nose, corners of the mouth), in pixels of the
    /// upright image. A source that is registered without gets them; those that it has are never replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmarks: Option<Landmarks>,
}

/// What became of a registration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SourcesAdded {
    /// New sources.
    pub added: i64,
    /// Sources whose bytes the dataset already has, by the URI just given: named, kept once.
    pub duplicates: Vec<Duplicate>,
    /// Bytes of sources and masks that are not in the bucket: upload them first. Their sources were not registered.
    pub missing: Vec<Digest>,
    /// New masks.
    #[serde(default)]
    pub masks: i64,
    /// Masks that were not taken, because the source has another one of that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mask_conflicts: Vec<MaskConflict>,
    /// Sources that got landmarks.
    #[serde(default)]
    pub landmarks: i64,
    /// URIs of sources that keep other landmarks than those given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub landmark_conflicts: Vec<String>,
}

/// A mask that was not taken.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MaskConflict {
    /// The source.
    pub uri: String,
    /// The mask's name.
    pub mask: String,
    /// SHA-256 of the mask that stands.
    pub kept: Digest,
}

/// The same bytes twice in one dataset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Duplicate {
    /// The URI that was not added.
    pub uri: String,
    /// The URI that the same bytes are registered under.
    pub same_as: String,
}

/// A registered source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Place in the dataset, from 0.
    pub ordinal: i64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Where it came from.
    pub uri: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Masks by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, Digest>,
    /// The face in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmarks: Option<Landmarks>,
}
