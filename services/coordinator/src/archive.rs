//! What was registered and asked for, as documents in the bucket: with the results, all that a lost database is rebuilt from
//! ([`crate::rebuild`]).
//!
//! ```text
//! archive/v1/projects/<id>.json                        name, weight and limits, as of its last job
//! archive/v1/packs/<name>.json                         digest, manifest
//! archive/v1/datasets/<id>/dataset.json                name, project
//! archive/v1/datasets/<id>/sources/<from>-<digest>     JSON lines, one a source
//! archive/v1/keys/<key id>.json                        certificates and anchor of a key that signs, never the key
//! archive/v1/jobs/<id>/job.json                        number, specification, edits
//! archive/v1/jobs/<id>/cancelled.json                  there if it was cancelled
//! ```
//! A job is archived before its first task is written. What is registered after that (more sources, masks, landmarks), and cancels, follow
//! within a sweep: losing the database in that second loses them, never a result. Failures are not archived: after a rebuild
//! such tasks are tried again.
//!
//! Two coordinators may archive the same at once. A document's name stands for its content: segments of sources have their digest
//! in it, the others never change.

use crate::error::LoopError;
use artifacts::Artifacts;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::edit::EditSpec;
use domain::job::JobSpec;
use domain::{DatasetId, Digest, JobId, Landmarks, ProjectId, StageKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{Gate, JobRow, PackRow, Project, PublicKey, Source, Store};

/// Where the archive lies.
pub const PREFIX: &str = "archive/v1/";
/// Sources of one segment.
const SEGMENT: i64 = 5_000;

/// `projects/<id>.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProjectDocument {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// Its share of the GPUs.
    pub weight: f64,
    /// GPU milliseconds that may be charged within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_ms_per_day: Option<f64>,
    /// Batches of all its jobs with workers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batches: Option<i32>,
    /// Tasks of all its jobs handed out per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_per_minute: Option<f64>,
}

/// `packs/<name>.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PackDocument {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub digest: Digest,
    /// The object that holds `pack.toml`'s text.
    pub manifest: Digest,
}

/// `datasets/<id>/dataset.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DatasetDocument {
    /// Its id.
    pub id: DatasetId,
    /// Who owns it.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
}

/// One line of a segment of sources.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SourceLine {
    /// Its place in the dataset.
    pub ordinal: i64,
    /// SHA-256 of the file's bytes.
    pub sha256: Digest,
    /// Where it came from.
    pub uri: String,
    /// Length in bytes.
    pub bytes: i64,
    /// Labels for selections.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Masks by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, Digest>,
    /// The face in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmarks: Option<Landmarks>,
}

/// `jobs/<id>/job.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct JobDocument {
    /// Its number: half of its tasks' ids.
    pub seq: i64,
    /// Its id.
    pub id: JobId,
    /// Who owns it.
    pub project: ProjectId,
    /// The key it was submitted under.
    pub idempotency_key: String,
    /// Who submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submitted_by: Option<String>,
    /// What was asked for.
    pub spec: JobSpec,
    /// Digest of that.
    pub spec_digest: Digest,
    /// The dataset.
    pub dataset: DatasetId,
    /// The pack.
    pub pack: PackDocument,
    /// Its edits, in order.
    pub edits: Vec<EditDocument>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
}

/// An edit of a job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EditDocument {
    /// Its short name.
    pub slug: String,
    /// What is asked for.
    pub spec: EditSpec,
    /// Digest of that.
    pub digest: Digest,
    /// Where its mapper comes from, for methods that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapper: Option<MapperDocument>,
}

/// Where a mapper comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapperDocument {
    /// It is trained.
    Trained {
        /// Stage key of the mapper.
        key: StageKey,
        /// The object that lists the images it is trained on.
        training_set: Digest,
    },
    /// The edit brought it along.
    Given(Digest),
}

/// `jobs/<id>/cancelled.json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CancelDocument {
    /// The job.
    pub id: JobId,
}

/// `keys/<key id>.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyDocument {
    /// SHA-256 of the public key.
    pub key_id: Digest,
    /// Its certificates, PEM.
    pub certificates: String,
    /// The root that vouches for it, for an installation's own authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
}

/// Archives what verifies a key's signatures.
///
/// # Errors
/// When the bucket fails.
pub async fn key(artifacts: &Artifacts, key: &PublicKey) -> Result<(), LoopError> {
    let PublicKey { key_id, certificates, anchor, .. } = key.clone();
    put(artifacts, &format!("keys/{key_id}.json"), &KeyDocument { key_id, certificates, anchor }).await
}

/// Archives the pack.
///
/// # Errors
/// When the bucket or the database fails.
pub async fn pack(store: &Store, artifacts: &Artifacts, pack: &PackRow) -> Result<(), LoopError> {
    let PackRow { name, digest, manifest_digest, .. } = pack;
    let document = PackDocument { name: name.clone(), digest: *digest, manifest: *manifest_digest };
    put(artifacts, &format!("packs/{name}.json"), &document).await?;
    Ok(store.pack_archived(name).await?)
}

/// Archives what the archive lacks of the dataset; the number of segments.
///
/// # Errors
/// When the bucket or the database fails; what is archived by then stays so.
pub async fn dataset(store: &Store, artifacts: &Artifacts, id: DatasetId) -> Result<u64, LoopError> {
    let mut segments = 0;
    loop {
        let seen = store.dataset_archive(id).await?;
        if seen.archived >= seen.sources {
            return Ok(segments);
        }
        if seen.archived == 0 {
            project(store, artifacts, seen.project).await?;
            let document = DatasetDocument { id, project: seen.project, name: seen.name.clone() };
            put(artifacts, &format!("datasets/{id}/dataset.json"), &document).await?;
        }
        let sources = store.sources(id, Some(seen.archived - 1), SEGMENT).await?;
        let Some(last) = sources.last().map(|source| source.ordinal) else { return Ok(segments) };
        let mut lines = Vec::new();
        for source in sources {
            let Source { ordinal, sha256, uri, bytes, labels, masks, landmarks } = source;
            serde_json::to_writer(&mut lines, &SourceLine { ordinal, sha256, uri, bytes, labels, masks, landmarks })?;
            lines.push(b'\n');
        }
        let object = format!("{PREFIX}datasets/{id}/sources/{:012}-{}.jsonl", seen.archived, Digest::of(&lines));
        artifacts.put_at(&object, lines, "application/jsonl").await?;
        // if it changed meanwhile, or somebody else was faster, the next round sees how it is now
        store.sources_archived(&seen, last + 1).await?;
        segments += 1;
    }
}

/// Archives the job with everything it names.
///
/// # Errors
/// When the bucket or the database fails.
pub async fn job(store: &Store, artifacts: &Artifacts, job: &JobRow) -> Result<(), LoopError> {
    if let Some(row) = store.pack(&job.pack.name).await? {
        pack(store, artifacts, &row).await?;
    }
    project(store, artifacts, job.project).await?;
    dataset(store, artifacts, job.dataset).await?;
    let edits = store.edits(job.seq).await?.into_iter().map(|edit| EditDocument {
        mapper: match (edit.training, edit.gate) {
            (Some(training), _) => {
                Some(MapperDocument::Trained { key: training.mapper_key, training_set: training.training_set })
            }
            (None, Gate::Open { mapper }) => Some(MapperDocument::Given(mapper)),
            (None, _) => None,
        },
        slug: edit.slug,
        spec: edit.spec,
        digest: edit.digest,
    });
    let document = JobDocument {
        seq: job.seq,
        id: job.id,
        project: job.project,
        idempotency_key: store.idempotency_key(job.seq).await?,
        submitted_by: job.submitted_by.clone(),
        spec: job.spec.clone(),
        spec_digest: job.spec_digest,
        dataset: job.dataset,
        pack: PackDocument { name: job.pack.name.clone(), digest: job.pack.digest, manifest: job.pack.manifest },
        edits: edits.collect(),
        created_at: job.created_at,
    };
    put(artifacts, &format!("jobs/{}/job.json", job.id), &document).await?;
    Ok(store.job_archived(job.seq).await?)
}

/// Archives that the job is cancelled.
///
/// # Errors
/// When the bucket or the database fails.
pub async fn cancel(store: &Store, artifacts: &Artifacts, seq: i64, id: JobId) -> Result<(), LoopError> {
    put(artifacts, &format!("jobs/{id}/cancelled.json"), &CancelDocument { id }).await?;
    Ok(store.cancel_archived(seq).await?)
}

async fn project(store: &Store, artifacts: &Artifacts, id: ProjectId) -> Result<(), LoopError> {
    let Project { name, weight, quota_ms_per_day, max_batches, tasks_per_minute, .. } = store.project_by_id(id).await?;
    let document = ProjectDocument { id, name, weight, quota_ms_per_day, max_batches, tasks_per_minute };
    put(artifacts, &format!("projects/{id}.json"), &document).await
}

async fn put<T: Serialize>(artifacts: &Artifacts, name: &str, document: &T) -> Result<(), LoopError> {
    let json = Bytes::from(serde_json::to_vec(document)?);
    Ok(artifacts.put_at(&format!("{PREFIX}{name}"), json, "application/json").await?)
}
