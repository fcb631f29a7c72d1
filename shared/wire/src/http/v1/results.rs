//! Finished edits, and what reviewers say of them.

use chrono::{DateTime, Utc};
use domain::accept::RejectReason;
use domain::record::Verdict;
use domain::review::Decision;
use domain::{Digest, TaskId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A finished edit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct EditResult {
    /// The task.
    pub task: TaskId,
    /// The edit's slug.
    pub edit: String,
    /// What it should show: the edit's text.
    #[serde(default)]
    pub text: String,
    /// The method's name.
    pub method: String,
    /// Factor on the latent change.
    pub strength: f64,
    /// Seed.
    pub seed: u64,
    /// Ordinal of the source in its dataset.
    pub ordinal: i64,
    /// The source's URI.
    pub source_uri: String,
    /// SHA-256 of the source's bytes.
    pub source: Digest,
    /// SHA-256 of the output.
    pub image: Digest,
    /// SHA-256 of the reconstruction's PNG.
    pub reconstruction: Digest,
    /// SHA-256 of the same with a credential inside, once it has been asked for as a companion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_reconstruction: Option<Digest>,
    /// Digest of the record.
    pub record: Digest,
    /// Scores.
    pub metrics: BTreeMap<String, f64>,
    /// Whether the counterfactual holds, when the pack can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected_for: Vec<RejectReason>,
    /// Milliseconds of tensor work.
    pub gpu_ms: f64,
    /// When it was committed.
    pub created_at: DateTime<Utc>,
    /// What a reviewer said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
}

/// The latest word of a reviewer on a result. It stands beside the verdict and never changes it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// What was decided.
    pub decision: Decision,
    /// Why, in the reviewer's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Who.
    pub reviewer: String,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

/// Sets a result's review, in place of an earlier one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetReview {
    /// `flagged`, `rejected` or `approved`; absent takes the review away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Why; at most 2,000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 2_000)]
    pub note: String,
}

/// A file that a record names beside its output, as it may leave: with a Content Credential.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignedCompanion {
    /// What it is: `reconstruction`, `latent`, `source-latent`.
    pub kind: String,
    /// SHA-256 of the file, a blob: a reconstruction has its credential inside.
    pub sha256: Digest,
    /// SHA-256 of the credential that travels beside it (`.c2pa`), a blob; a latent has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Digest>,
    /// What records call it: SHA-256 of the file before a credential was put into it.
    pub artifact: Digest,
    /// Digest of the record that the credential names.
    pub record: Digest,
}

/// A finished edit with what an export says of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pair {
    /// The edit.
    #[serde(flatten)]
    pub result: EditResult,
    /// Labels of its source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Steps that were taken for this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<i64>,
}
