//! Version 1 of the messages between coordinator and workers.
//!
//! `cfx.work`: [`WorkBatch`], coordinator to one worker. `cfx.outcomes`: [`FromWorker`], worker to any coordinator.
//! `cfx.control`: [`Control`], coordinator to every worker. `cfx.sign`: [`SignRequest`], worker to any coordinator, which answers on
//! the worker's own control queue.

use super::tagged::{Tagged, read_by_tag};
use chrono::{DateTime, Utc};
use domain::edit::EditSpec;
use domain::ids::{BatchId, BootId, Epoch, JobId, TaskId};
use domain::inversion::Inversion;
use domain::record::WrittenRecord;
use domain::{Digest, Framing, Output, Precision, Reason, Stage, StageKey};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// A task as handed out once: the fence that every answer about it must carry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Fence {
    /// The task.
    pub task: TaskId,
    /// The epoch of this hand-out.
    pub epoch: Epoch,
}

/// Compatible tasks that share one GPU pass: same job, stage, pack, edit and parameters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WorkBatch {
    /// The hand-out.
    pub batch: BatchId,
    /// The job the tasks belong to.
    pub job: JobId,
    /// Project and dataset, for the record.
    pub project: String,
    /// Name of the dataset.
    pub dataset: String,
    /// The networks to use.
    pub pack: PackRef,
    /// How its images are written.
    #[serde(default, skip_serializing_if = "Output::is_default")]
    pub output: Output,
    /// What its networks compute in.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Who submitted the job, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitter: Option<String>,
    /// What to do.
    pub work: Work,
}

impl WorkBatch {
    /// The stage, which names the queue.
    pub const fn stage(&self) -> Stage {
        match self.work {
            Work::Invert { .. } => Stage::Invert,
            Work::Train { .. } => Stage::Train,
            Work::Edit { .. } => Stage::Edit,
        }
    }

    /// Every task of the batch with its epoch.
    pub fn fences(&self) -> Vec<Fence> {
        match &self.work {
            Work::Invert { items, .. } => items.iter().map(|i| i.fence).collect(),
            Work::Train { item, .. } => vec![item.fence],
            Work::Edit { items, .. } => items.iter().map(|i| i.fence).collect(),
        }
    }
}

/// A registered pack: its files lie in the bucket by digest, listed in its manifest.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PackRef {
    /// The name it was registered under.
    pub name: String,
    /// The pack's identity (over the canonical manifest with file digests).
    pub digest: Digest,
    /// Digest of the object that holds `pack.toml`'s text.
    pub manifest: Digest,
}

/// The work of a batch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Work {
    /// Sources to W+ latents.
    Invert {
        /// How.
        inversion: Inversion,
        /// The sources.
        items: Vec<InvertItem>,
    },
    /// One mapper, for at most one slice of time.
    Train {
        /// The edit whose mapper it is.
        edit: EditSpec,
        /// The task.
        item: TrainItem,
    },
    /// Latents to edited images.
    Edit {
        /// The edit.
        edit: EditSpec,
        /// How the latents were found (for the record).
        inversion: Inversion,
        /// The trained mapper, for methods that have one.
        mapper: Option<Digest>,
        /// The latents.
        items: Vec<EditItem>,
    },
}

/// A source image in the bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceRef {
    /// SHA-256 of its bytes; the object lies at `cas/sha256/...`.
    pub sha256: Digest,
    /// Where it was registered from, for people.
    pub uri: String,
    /// Ordinal in its dataset.
    pub ordinal: i64,
}

/// One source to invert.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InvertItem {
    /// The task.
    pub fence: Fence,
    /// Identity of the result.
    pub key: StageKey,
    /// The image.
    pub source: SourceRef,
    /// Where an earlier slice stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Digest>,
    /// Which part of it the generator's square shows. Messages of earlier versions do not say: the centred square.
    #[serde(default, skip_serializing_if = "Framing::is_default")]
    pub framing: Framing,
}

/// One mapper to train.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TrainItem {
    /// The task.
    pub fence: Fence,
    /// Identity of the result.
    pub key: StageKey,
    /// Digest of a [`TrainingSet`] object.
    pub training_set: Digest,
    /// Where an earlier slice stopped.
    pub checkpoint: Option<Digest>,
}

/// The images a mapper is trained on, in order; an object in the bucket, so that the message stays small.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TrainingSet {
    /// SHA-256 of every image's bytes.
    pub sources: Vec<Digest>,
    /// How each is framed, in the same order; empty: all by their centred squares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub framings: Vec<Framing>,
}

impl TrainingSet {
    /// Every image with its framing, in order.
    pub fn items(&self) -> impl Iterator<Item = (Digest, Framing)> {
        let framing = |index: usize| self.framings.get(index).cloned().unwrap_or_default();
        self.sources.iter().enumerate().map(move |(index, digest)| (*digest, framing(index)))
    }
}

/// One latent to edit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EditItem {
    /// The task.
    pub fence: Fence,
    /// Identity of the result.
    pub key: StageKey,
    /// The image the latent came from.
    pub source: SourceRef,
    /// Digest of the latent artifact.
    pub latent: Digest,
    /// SHA-256 of the source's mask, where the edit is confined to one and the source has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Digest>,
    /// Factor on the edit's latent change.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
    /// Where an earlier slice stopped, for methods that optimise per image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Digest>,
}

/// What a worker says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case", remote = "Self")]
pub enum FromWorker {
    /// The batch is taken: published with confirm, before the delivery is acknowledged.
    Started {
        /// The process.
        boot: BootId,
        /// The hand-out.
        batch: BatchId,
        /// What was taken.
        tasks: Vec<Fence>,
    },
    /// Sent every 10 seconds, whether or not anything runs.
    Heartbeat(Heartbeat),
    /// Results, failures and yields of items of one batch. Safe to repeat.
    Outcomes {
        /// The process.
        boot: BootId,
        /// The hand-out.
        batch: BatchId,
        /// One entry an item.
        items: Vec<ItemOutcome>,
    },
    /// Every task of a batch was cancelled or revoked, and its work has left the device.
    Stopped {
        /// The process.
        boot: BootId,
        /// What was dropped.
        tasks: Vec<Fence>,
        /// Milliseconds from hearing the last of the cancels to the idle device.
        after_ms: f64,
    },
    /// The process ends by its own will; what it still held has been yielded.
    Goodbye {
        /// The process.
        boot: BootId,
    },
}

/// A worker's sign of life.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The process.
    pub boot: BootId,
    /// Host name and process id, for people.
    pub name: String,
    /// Queue class it serves, for example `cpu`.
    pub class: String,
    /// Device, for people.
    pub device: String,
    /// Version of the worker.
    pub version: String,
    /// True once it takes no more work.
    pub draining: bool,
    /// Tasks it holds, running or staged, with progress in `[0, 1]`.
    pub running: Vec<Progress>,
    /// Images finished since the process started.
    pub images: u64,
    /// Milliseconds of tensor work since the process started.
    pub busy_ms: u64,
    /// What keeps it from taking more work, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// The queue it hears [`Control`] from, which ends with its connection: how a coordinator sees within seconds that a process
    /// is gone. None while it connects again, and from versions that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_queue: Option<String>,
    /// Resident memory of the process in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Memory of its GPU. None on a CPU, where the driver does not tell, and from versions that do not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory: Option<DeviceMemory>,
}

/// Memory of a GPU, or of the part of one that a worker has (MIG).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// Taken now, by all processes together.
    pub used_bytes: u64,
    /// All there is.
    pub total_bytes: u64,
}

/// What keeps a worker from taking more work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitsFor {
    /// Finished batches wait for the bucket to take their results.
    Storage,
    /// Something that this version does not know.
    #[serde(other)]
    Other,
}

impl WaitsFor {
    /// The name shown to people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Other => "other",
        }
    }
}

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The task.
    #[serde(flatten)]
    pub fence: Fence,
    /// Part done, 0 to 1.
    pub done: f32,
}

/// How one item of a batch ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// The task.
    pub fence: Fence,
    /// Its share of the batch's tensor time, in milliseconds.
    pub gpu_ms: f64,
    /// What happened.
    pub outcome: Outcome,
}

/// The ways an item ends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", remote = "Self")]
pub enum Outcome {
    /// A stage's artifact is in the bucket (latent or mapper).
    Stored {
        /// Identity of the result.
        key: StageKey,
        /// The artifact.
        artifact: Digest,
    },
    /// An edited image is in the bucket with its record.
    Edited(Box<Edited>),
    /// Stopped at a checkpoint.
    Yielded {
        /// Where to go on; none when nothing was begun.
        checkpoint: Option<Digest>,
        /// Part done, 0 to 1.
        done: f32,
    },
    /// Failed.
    Failed {
        /// Why, as a stable code.
        reason: Reason,
        /// One sentence for people.
        detail: String,
    },
}

impl Outcome {
    /// How it ended, in a word: `stored`, `edited`, `yielded`, `failed`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stored { .. } => "stored",
            Self::Edited(_) => "edited",
            Self::Yielded { .. } => "yielded",
            Self::Failed { .. } => "failed",
        }
    }
}

read_by_tag!(FromWorker);

impl<'de> Tagged<'de> for FromWorker {
    const TAG: &'static str = "message";
    const DIRECT: &'static str = "outcomes";

    fn direct<D: Deserializer<'de>>(fields: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Outcomes {
            boot: BootId,
            batch: BatchId,
            items: Vec<ItemOutcome>,
        }
        Outcomes::deserialize(fields).map(|Outcomes { boot, batch, items }| Self::Outcomes { boot, batch, items })
    }

    fn derived(whole: serde_json::Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(whole)
    }
}

read_by_tag!(Outcome);

impl<'de> Tagged<'de> for Outcome {
    const TAG: &'static str = "kind";
    const DIRECT: &'static str = "edited";

    fn direct<D: Deserializer<'de>>(fields: D) -> Result<Self, D::Error> {
        Box::deserialize(fields).map(Self::Edited)
    }

    fn derived(whole: serde_json::Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(whole)
    }
}

/// An edited image.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Edited {
    /// Identity of the result.
    pub key: StageKey,
    /// The PNG with its record inside.
    pub image: Digest,
    /// The reconstruction's PNG.
    pub reconstruction: Digest,
    /// Digest of the record's canonical JSON, which is also an object.
    pub record_digest: Digest,
    /// The record, sent as the very bytes that the digest is over.
    pub record: WrittenRecord,
}

/// What lies at `results/<stage_key>.json`, or for an edited image at `results/<stage_key>/<job>-<no>.json`: how a redelivered task
/// finds its own work, and how a lost database is rebuilt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ResultPointer {
    /// Identity of the result.
    pub key: StageKey,
    /// The outcome as it was told to the coordinator.
    pub outcome: Outcome,
    /// When it was written (informative).
    pub written_at: DateTime<Utc>,
}

impl ResultPointer {
    /// Where it lies.
    pub fn object(&self) -> String {
        match &self.outcome {
            Outcome::Edited(edited) => {
                let links = &edited.record.links;
                self.key.image_key(links.job, links.task.no)
            }
            Outcome::Stored { .. } | Outcome::Yielded { .. } | Outcome::Failed { .. } => self.key.result_key(),
        }
    }
}

/// A worker that holds no key asks for a signature. Lost requests are repeated by whoever waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignRequest {
    /// Of this request, for the answer.
    pub id: Uuid,
    /// The control queue that hears the answer.
    pub reply_to: String,
    /// What to sign; none to learn which certificates are in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// Bytes to sign.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The key whose certificates are in them.
    pub key_id: Digest,
    /// The bytes, base64.
    pub message: String,
}

/// The answer to a [`SignRequest`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SignAnswer {
    /// The raw signature, base64.
    Signature {
        /// 64 bytes.
        signature: String,
    },
    /// The certificates in use, PEM: they were asked for, or the claim names others.
    Certificates {
        /// The signing key's own first.
        pem: String,
    },
    /// It cannot be signed.
    Refused {
        /// Why.
        detail: String,
    },
}

/// What the coordinator tells every worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum Control {
    /// These hand-outs are void; whoever holds them drops them without an outcome.
    Revoke {
        /// Only this process need listen; all if absent.
        boot: Option<BootId>,
        /// What to drop.
        tasks: Vec<Fence>,
    },
    /// The job is cancelled: drop its tasks.
    CancelJob {
        /// The job's sequence number, as in `TaskId::job`.
        job: i64,
    },
    /// The answer to a request for a signature; only its sender hears it.
    Signed {
        /// The request.
        id: Uuid,
        /// What came of it.
        answer: SignAnswer,
    },
    /// Take no more work, give back what is held, end.
    Drain {
        /// The process; all if absent.
        boot: Option<BootId>,
    },
    /// Nothing: sent to one worker's queue to see whether it is there.
    Probe,
}
