//! The provenance record: everything needed to say how one output was made, and to make it again.
//!
//! Canonical JSON (RFC 8785), digest over those bytes. It travels three ways: inside the picture (whole or as an [`Excerpt`]), as
//! an object named by its digest, and as a row in Postgres. It therefore cannot hold the digest of the file that carries it; it holds
//! the decoded raster's digest and that of the file before anything was put into it. The link from file to record is the result
//! pointer, and the signed credential in the file.

mod excerpt;
mod written;

pub use excerpt::{Detail, EXCERPT_SCHEMA, Excerpt};
pub use written::{NotOfDigest, WrittenRecord};

use crate::accept::RejectReason;
use crate::digest::Digest;
use crate::edit::EditSpec;
use crate::ids::{BatchId, BootId, Epoch, JobId, TaskId};
use crate::inversion::Inversion;
use crate::landmarks::Landmarks;
use crate::stage::StageKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The schema name of this version, published as `deploy/schemas/record-2.schema.json`.
pub const RECORD_SCHEMA: &str = "counterfactory/record/2";

/// Schemas that this version reads. In the first one the address of the source was part of the recipe, so that one picture
/// registered at two places gave two recipes; and it lacks every field that is optional below.
pub const READABLE_SCHEMAS: [&str; 2] = ["counterfactory/record/1", RECORD_SCHEMA];

/// `digital_source_type` of a picture that a generator drew as a whole (IPTC NewsCodes, `digitalsourcetype`).
pub const TRAINED_ALGORITHMIC_MEDIA: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// `watermark` of a picture without one.
pub const NO_WATERMARK: &str = "none";

/// One output's provenance.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_SCHEMA`].
    pub schema: String,
    /// Digest of `recipe`'s canonical JSON: equal recipes are equal work.
    pub recipe_digest: Digest,
    /// What replay needs.
    pub recipe: Recipe,
    /// Where and when it ran.
    pub execution: Execution,
    /// What came out.
    pub outcome: Outcome,
    /// What it belongs to.
    pub links: Links,
}

/// What decides the result.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// The numerics version of the stages.
    pub numerics: u32,
    /// The image that was edited.
    pub source: SourceFacts,
    /// The pack's digest.
    pub pack: Digest,
    /// Every weights file: role (generator, clip, ...) to its file digest.
    pub models: BTreeMap<String, Digest>,
    /// What is in each of them, by role: over names, types, shapes and bytes of its tensors in the order of their names, so that it
    /// stays the same when a file is packed again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tensors: BTreeMap<String, Digest>,
    /// The texts as the text encoder saw them.
    pub text: TextFacts,
    /// How the latent was found.
    pub inversion: Inversion,
    /// The edit.
    pub edit: EditSpec,
    /// Factor on the latent change; with a strength search, the most it may be (what was found stands in the outcome's metrics).
    pub strength: f64,
    /// Seed of the job; the item's generator is keyed by (source digest, edit digest, seed).
    pub seed: u64,
    /// The generator of random numbers.
    pub rng: String,
    /// Noise policy of the generator, for example `fixed`.
    pub noise: String,
    /// Arithmetic, for example `fp32`.
    pub precision: String,
    /// Whether kernels were chosen that give the same bits again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub determinism: Option<Determinism>,
    /// Digest of the inverted latent (safetensors, `w_plus [n_latent, w_dim]`).
    pub source_latent: Digest,
    /// Digest of the trained mapper, for methods that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapper: Option<Digest>,
    /// SHA-256 of the mask's file, for edits confined to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Digest>,
}

impl Recipe {
    /// The method's name.
    pub const fn method(&self) -> &'static str {
        self.edit.method.name()
    }
}

/// The source image.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SourceFacts {
    /// SHA-256 of the file's bytes.
    pub sha256: Digest,
    /// SHA-256 of the prepared RGB8 raster the networks saw.
    pub raster_sha256: Digest,
    /// Where it was registered from, in records of the first schema; since then [`Links::source_uri`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Width and height of the file's image, in pixels, after orientation.
    pub size: [u32; 2],
    /// File format, for example `png`.
    pub format: String,
    /// What was done to it, in order: `exif-orientation`, `alpha-over-white`, `centre-crop`, `resize-lanczos3`, ...
    pub conversions: Vec<String>,
    /// The face that the image was framed by, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<FaceFacts>,
}

/// How far a result can be repeated on the machine and with the libraries that made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Determinism {
    /// Deterministic kernels, no TF32, no choice by timing: bit for bit.
    Exact,
    /// Faster kernels were allowed.
    BestEffort,
}

/// The face that a source was framed by.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FaceFacts {
    /// Its landmarks, in pixels of the upright image.
    pub landmarks: Landmarks,
    /// Where they came from.
    #[serde(flatten)]
    pub origin: LandmarkOrigin,
}

/// Who said where a face is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "kebab-case")]
pub enum LandmarkOrigin {
    /// The dataset.
    Given,
    /// The pack's detector.
    Detected {
        /// Faces that it saw; the largest was taken.
        faces: u32,
        /// How sure it was of this one, 0 to 1.
        probability: f64,
    },
}

/// The texts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TextFacts {
    /// The target text.
    pub target: String,
    /// The neutral text.
    pub neutral: String,
    /// Number of template pairs.
    pub templates: u32,
    /// Digest over all expanded target and neutral texts, in order.
    pub expanded: Digest,
    /// Digest over the token ids that the text encoder was given for them: canonical JSON, one list of numbers a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Digest>,
}

/// Where and when.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Execution {
    /// Version of the worker.
    pub version: String,
    /// Source revision of the worker, when known at build time.
    pub commit: String,
    /// libtorch's version.
    pub libtorch: String,
    /// Device, for example `cpu` or `cuda:0 NVIDIA H100`.
    pub device: String,
    /// CPU threads of one operator.
    pub threads: u32,
    /// The worker process.
    pub boot: BootId,
    /// The hand-out.
    pub batch: BatchId,
    /// The fence the work was done under.
    pub epoch: Epoch,
    /// Items in the micro-batch and this item's slot in it.
    pub micro_batch: MicroBatch,
    /// The distinct edits that were computed in that pass, and this item's: several strengths of one image are one edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_batch: Option<MicroBatch>,
    /// The pass that the source was inverted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inversion_batch: Option<MicroBatch>,
    /// Start and end, RFC 3339, by the worker's clock (informative: no decision rests on it).
    pub started_at: chrono::DateTime<chrono::Utc>,
    /// End.
    pub finished_at: chrono::DateTime<chrono::Utc>,
    /// Milliseconds by stage, for this item's share of its batch.
    pub milliseconds: BTreeMap<String, f64>,
    /// What the program was built from and with: `rustc`, `cargo_lock` (SHA-256), `tch`, `image` (digest of the container image).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub build: BTreeMap<String, String>,
    /// What else results can depend on: `driver`, `cuda`, `cudnn`, `compute_capability`, `mig`, `processor`, and environment variables
    /// under their own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Most memory the process has had, bytes, up to this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
}

/// The media type of a source's format by its name in records: `png`, `jpeg`, ...
pub fn media_type(format: &str) -> String {
    format!("image/{format}")
}

/// Shape of the pass the item was computed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MicroBatch {
    /// Items in the pass.
    pub size: u32,
    /// This item's place, from 0.
    pub slot: u32,
}

/// What came out.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// SHA-256 of the decoded RGB8 raster of the output: survives re-encoding of the file.
    pub raster_sha256: Digest,
    /// SHA-256 of the file before metadata, this record and the credential were put into it.
    pub unsigned_sha256: Digest,
    /// File format of the output: `png`, `jpeg`, `webp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Identity of the result: the object `results/<key>/...` points at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<StageKey>,
    /// How the picture came about, as an IRI of IPTC's NewsCodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digital_source_type: Option<String>,
    /// The watermark in the pixels by name and version, or [`NO_WATERMARK`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<String>,
    /// SHA-256 of the RGB8 raster as the generator drew it, which is what a replay gives, where the output's differs: it was watermarked,
    /// or its format is lossy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered_sha256: Option<Digest>,
    /// How much of this record leaves with the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// Digest of the edited latent.
    pub latent: Digest,
    /// Digest of the reconstruction's PNG (the inverted latent, unedited).
    pub reconstruction: Digest,
    /// Loss per step, when the method optimises per image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<f64>,
    /// Steps taken.
    pub steps: u32,
    /// Scores by networks that were not optimised against; finite only.
    pub metrics: BTreeMap<String, f64>,
    /// The judge's reading: head to class, before and after.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judged: BTreeMap<String, [String; 2]>,
    /// Whether the counterfactual holds, when the pack can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why it was rejected; empty for an accepted output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected_for: Vec<RejectReason>,
    /// Anything a reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The judge's decision on an output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every rule is met: see [`crate::accept`].
    Accept,
    /// A rule is missed.
    Reject,
}

/// What the output belongs to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Links {
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskId,
    /// The project's name.
    pub project: String,
    /// The dataset's name.
    pub dataset: String,
    /// Ordinal of the source in the dataset.
    pub source: i64,
    /// Where the source was registered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_uri: Option<String>,
    /// Digests of the records of inputs that are outputs themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Digest>,
    /// The pack's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// The licence of the pack's weights, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Who submitted the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<String>,
}

impl Record {
    /// Where the source was registered from; empty if that is not told.
    pub fn source_uri(&self) -> &str {
        self.links.source_uri.as_deref().or(self.recipe.source.uri.as_deref()).unwrap_or_default()
    }
}
