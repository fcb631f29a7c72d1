//! Stages and their keys: the identity of a piece of computation, so that equal work is done once.

use crate::digest::{CanonicalError, Digest, digest_of};
use crate::ids::JobId;
use crate::precision::Precision;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Bump when the arithmetic of any stage changes its results: old artifacts then no longer answer for new work.
pub const NUMERICS_VERSION: u32 = 2;

/// The three kinds of task, in the order in which they feed each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// One source image to its W+ latent.
    Invert,
    /// One text mapper, for every image of the job.
    Train,
    /// One source under one edit, at one strength and seed.
    Edit,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 3] = [Self::Invert, Self::Train, Self::Edit];

    /// The name in queues, columns and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invert => "invert",
            Self::Train => "train",
            Self::Edit => "edit",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Stage {
    type Err = UnknownStage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| UnknownStage(text.to_owned()))
    }
}

/// A stage name that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a stage (invert, train or edit)")]
pub struct UnknownStage(pub String);

/// The digest over everything that decides a stage's result:
/// `H(stage, numerics version, weights, inputs, canonical parameters, precision)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StageKey(pub Digest);

impl StageKey {
    /// The key of `stage` on the `weights` of a pack, on `inputs` (digests of sources or earlier stages, in order) with
    /// `parameters` (anything with canonical JSON) in `precision`.
    ///
    /// # Errors
    /// When `parameters` holds a number that is not finite.
    pub fn new<P: Serialize>(
        stage: Stage,
        weights: Digest,
        inputs: &[Digest],
        parameters: &P,
        precision: Precision,
    ) -> Result<Self, CanonicalError> {
        #[derive(Serialize)]
        struct Key<'a, P> {
            stage: Stage,
            numerics: u32,
            weights: Digest,
            inputs: &'a [Digest],
            parameters: &'a P,
            precision: Precision,
        }
        digest_of(&Key { stage, numerics: NUMERICS_VERSION, weights, inputs, parameters, precision }).map(Self)
    }

    /// Where the pointer to the finished result lies in the bucket, for results that tasks share: latents and mappers.
    pub fn result_key(&self) -> String {
        format!("results/{}.json", self.0)
    }

    /// Where the pointer to an edited image lies. Equal edits of two jobs have one key and two records, each with a file of its own,
    /// so each task has its own pointer.
    pub fn image_key(&self, job: JobId, no: i32) -> String {
        format!("results/{}/{job}-{no}.json", self.0)
    }
}

impl fmt::Display for StageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
