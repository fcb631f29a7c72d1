//! Version 1 of the HTTP interface. Paths are in `services/coordinator/src/http/mod.rs`.

mod access;

pub use access::{ApiKey, CreatedApiKey, NewApiKey, RotateApiKey, WhoAmI};

use chrono::{DateTime, Utc};
use domain::accept::RejectReason;
use domain::ids::{DatasetId, JobId, TaskId};
use domain::job::JobSpec;
use domain::job_state::JobState;
use domain::record::Verdict;
use domain::review::Decision;
use domain::{Digest, Landmarks, Limits, Reason, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An RFC 9457 problem (`application/problem+json`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// A URI reference naming the kind: `/problems/<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short sentence, the same for every problem of the kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time, naming the item and what to do.
    pub detail: String,
    /// Stable code for programs, for example `unknown_dataset`.
    pub code: String,
}

/// A page of a list. Pass `next` back as `after` to go on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Creates a dataset (or finds it: repeating is harmless).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDataset {
    /// Unique within the project.
    pub name: String,
    /// Take every object under this `s3://bucket/prefix`, in the background.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<String>,
}

/// A dataset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSources {
    /// At most 5,000 a request.
    pub sources: Vec<NewSource>,
}

/// One source to register.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Where it came from, for people and for the record.
    pub uri: String,
    /// Size in bytes.
    pub bytes: i64,
    /// Labels, for selections and for audits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MaskConflict {
    /// The source.
    pub uri: String,
    /// The mask's name.
    pub mask: String,
    /// SHA-256 of the mask that stands.
    pub kept: Digest,
}

/// The same bytes twice in one dataset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Duplicate {
    /// The URI that was not added.
    pub uri: String,
    /// The URI that the same bytes are registered under.
    pub same_as: String,
}

/// A registered source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

/// Registers a pack whose files are already uploaded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPack {
    /// The text of `pack.toml`, with every file's digest.
    pub manifest: String,
}

/// A registered pack.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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

/// A job with its counts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its sequence number, the first half of its tasks' ids.
    pub seq: i64,
    /// What was asked.
    pub spec: JobSpec,
    /// Where it stands.
    pub state: JobState,
    /// Task counts by stage and state.
    pub counts: Vec<Count>,
    /// Failures by reason.
    pub reasons: Vec<ReasonCount>,
    /// What came of each edit, in the order of the specification.
    #[serde(default)]
    pub edits: Vec<EditYield>,
    /// What its owner should know about the specification, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Milliseconds of tensor work spent on its results.
    pub gpu_ms: f64,
    /// Tasks that were not run because their result was already there.
    pub memoised: i64,
    /// What it may take at most, as it stands now.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Rates, time left, and why it stands still; only where one job is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// Tasks in `state` over all stages (or one).
    pub fn count(&self, stage: Option<Stage>, state: &str) -> i64 {
        self.counts.iter().filter(|c| c.state == state && stage.is_none_or(|s| s == c.stage)).map(|c| c.tasks).sum()
    }

    /// All tasks.
    pub fn total(&self) -> i64 {
        self.counts.iter().map(|c| c.tasks).sum()
    }
}

/// How far a job is, from rollups: never a count of tasks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Stages that have tasks, in order.
    pub stages: Vec<StageProgress>,
    /// GPU-seconds spent on hand-outs that ended, repeats and failures included.
    pub gpu_seconds_spent: f64,
    /// GPU-seconds that results of other jobs saved.
    pub gpu_seconds_saved: f64,
    /// The time left: what is left to be done over the smoothed effective rate. Absent while nothing is known, and while it stands
    /// still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Eta>,
    /// Why it does not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stall>,
}

/// Where the tasks of one stage stand.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StageProgress {
    /// The stage.
    pub stage: Stage,
    /// All tasks.
    pub total: i64,
    /// Succeeded.
    pub done: i64,
    /// With workers.
    pub running: i64,
    /// Could be handed out.
    pub ready: i64,
    /// Waiting for an earlier stage.
    pub blocked: i64,
    /// In back-off after a failure.
    pub retrying: i64,
    /// Held back by a user.
    #[serde(default)]
    pub paused: i64,
    /// Given up.
    pub dead: i64,
    /// Cancelled.
    pub cancelled: i64,
    /// Succeeded per minute, smoothed over a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<f64>,
    /// Learnt GPU-seconds of one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_gpu_seconds: Option<f64>,
}

/// The time left in seconds, with a band of one standard deviation of the rate.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Eta {
    /// By the smoothed rate.
    pub seconds: f64,
    /// If it goes on faster.
    pub low: f64,
    /// If it goes on slower.
    pub high: f64,
}

/// Why a job does not go on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stall {
    /// Stable: `paused`, `deadline`, `budget`, `quota`, `job_concurrency`, `project_concurrency`, `job_rate_limit`,
    /// `project_rate_limit`, `broker_blocked`, `no_workers`, `storage_slow`, `training`, `turn`, `retry_backoff` or `other_job`.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
    /// When it goes on by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// What came of one edit: how many of its images hold as counterfactuals.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EditYield {
    /// The edit's slug.
    pub edit: String,
    /// The method's name.
    pub method: String,
    /// Images made.
    pub succeeded: i64,
    /// Those that meet every rule of acceptance.
    pub accepted: i64,
    /// Those that miss one.
    pub rejected: i64,
    /// Those to which no rule applies.
    pub unjudged: i64,
    /// Accepted yield: accepted of those judged, 0 to 1; absent while none is.
    #[serde(rename = "yield", default, skip_serializing_if = "Option::is_none")]
    pub accepted_yield: Option<f64>,
    /// Rejected images by reason; one with several reasons counts under each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<RejectReason, i64>,
}

/// Tasks of one stage in one state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Count {
    /// The stage.
    pub stage: Stage,
    /// The state's name.
    pub state: String,
    /// How many.
    pub tasks: i64,
}

/// Dead tasks of one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub tasks: i64,
}

/// A task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its stage.
    pub stage: Stage,
    /// The state's name.
    pub state: String,
    /// The edit's slug, for `train` and `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<String>,
    /// The source's URI, for `invert` and `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Hand-outs so far.
    pub epoch: i64,
    /// Failures that were our fault.
    pub attempts: i16,
    /// Failures of the surroundings.
    pub losses: i16,
    /// Why it is dead or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it was cancelled by itself: `request` or `deadline`; absent if with its job, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_for: Option<String>,
}

/// A finished edit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EditResult {
    /// The task.
    pub task: TaskId,
    /// The edit's slug.
    pub edit: String,
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
    /// SHA-256 of the output PNG.
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetReview {
    /// `flagged`, `rejected` or `approved`; absent takes the review away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Why; at most 2,000 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A file that a record names beside its output, as it may leave: with a Content Credential.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
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

/// Asks for dead tasks to be tried again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Only tasks dead for this reason.
    pub reason: Option<Reason>,
    /// Count, change nothing.
    pub dry_run: bool,
}

/// What a retry did or would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retried {
    /// Tasks.
    pub tasks: i64,
    /// The same by the reason they were dead for.
    #[serde(default)]
    pub reasons: Vec<ReasonCount>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Names single tasks of a job, to pause, resume or cancel them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedTasks {
    /// At most 5,000 a request.
    pub tasks: Vec<TaskId>,
}

/// What pausing did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TasksPaused {
    /// Tasks that are paused now: they are not handed out until they are resumed. Tasks that had ended are left as they are.
    pub paused: i64,
    /// Named tasks that workers have: they finish.
    pub held: i64,
}

/// What resuming did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TasksResumed {
    /// Tasks that go on. Tasks that were not paused are left as they are.
    pub resumed: i64,
}

/// What cancelling did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TasksCancelled {
    /// Tasks that are cancelled now, edits included that waited for a cancelled inversion. Tasks that had ended are left as they are.
    pub cancelled: i64,
    /// Those of them that a worker held and was told to drop.
    pub held: i64,
}

/// Changes a job's limits. What is absent stays; 0 takes a limit away.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetLimits {
    /// Batches with workers at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// GPU-seconds after which nothing more is handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_gpu_seconds: Option<f64>,
    /// Tasks handed out per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_per_minute: Option<f64>,
    /// When what was not begun is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// Takes the deadline away.
    pub no_deadline: bool,
    /// Higher goes first within the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
}

/// A project: a tenant among whom GPU time is shared.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Project {
    /// Its unique name.
    pub name: String,
    /// Its share of the GPUs relative to other projects that wait for some.
    pub weight: f64,
    /// GPU-seconds that may be charged within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_gpu_seconds_per_day: Option<f64>,
    /// Batches of all its jobs with workers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// Tasks of all its jobs handed out per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_per_minute: Option<f64>,
    /// GPU-seconds charged within the last 24 hours.
    pub used_gpu_seconds: f64,
}

/// Changes a project. What is absent stays; 0 takes a limit away.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetProject {
    /// Above 0, at most 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// GPU-seconds within 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_gpu_seconds_per_day: Option<f64>,
    /// Batches at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// Tasks per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks_per_minute: Option<f64>,
}

/// The seals of a job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobSeals {
    /// Newest first: a job that went on after it had ended is sealed again.
    pub seals: Vec<JobSeal>,
}

/// What a job came to when it ended, signed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobSeal {
    /// The end that it seals.
    pub finished_at: DateTime<Utc>,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
    /// The key that signed it.
    pub key_id: Digest,
    /// SHA-256 of the DSSE envelope around the in-toto statement: fetch it as a blob.
    pub attestation: Digest,
    /// The files that the statement names.
    pub files: Vec<SealedFile>,
    /// Results in them.
    pub results: i64,
    /// Failures in them.
    pub failures: i64,
}

/// A sealed file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedFile {
    /// Its name.
    pub name: String,
    /// Its SHA-256: fetch it as a blob.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

/// What verifies an installation's signatures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Keys {
    /// Every key that ever signed, newest first.
    pub keys: Vec<SigningKey>,
}

/// A key that signs, or did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SigningKey {
    /// SHA-256 of the public key's SubjectPublicKeyInfo (DER): `keyid` in DSSE envelopes.
    pub key_id: Digest,
    /// Whether it signs now.
    pub in_use: bool,
    /// Whose it is, as its certificate says.
    pub subject: String,
    /// The public key, PEM.
    pub public_key: String,
    /// Its certificates, PEM, its own first.
    pub certificates: String,
    /// The root that vouches for it, PEM, for an installation's own authority.
    pub anchor: Option<String>,
    /// Since when it signs.
    pub created_at: DateTime<Utc>,
    /// When it was replaced.
    pub retired_at: Option<DateTime<Utc>>,
}

/// Who changed what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Grows with time.
    pub id: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who, proven: a key by name and id, `local` for somebody on the coordinator's machine, `oidc SUBJECT`.
    pub actor: String,
    /// What the client called itself (`cfx-actor`), which nobody checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The project it was done in or to; absent for what concerns the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What, for example `job.cancel`.
    pub action: String,
    /// To what: a job's id, a project's name.
    pub subject: String,
    /// More.
    pub detail: serde_json::Value,
}

/// A worker process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Worker {
    /// The process.
    pub boot: domain::BootId,
    /// Host name and process id.
    pub name: String,
    /// Queue class.
    pub class: String,
    /// Device.
    pub device: String,
    /// Version.
    pub version: String,
    /// `live`, `draining`, `lost` or `gone`.
    pub state: String,
    /// Tasks it holds.
    pub running: i64,
    /// Which they are, of the projects that the key is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<HeldTask>,
    /// Images finished.
    pub images: i64,
    /// Milliseconds of tensor work.
    pub busy_ms: i64,
    /// What keeps it from taking more work, for example `storage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Resident memory of the process in bytes, as it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<i64>,
    /// First sign of life, by the database's clock.
    pub first_seen: DateTime<Utc>,
    /// Last sign of life.
    pub last_seen: DateTime<Utc>,
}

/// A task that a worker holds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct HeldTask {
    /// The task.
    pub task: TaskId,
    /// Part done, 0 to 1.
    pub done: f32,
}
