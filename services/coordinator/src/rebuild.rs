//! `coordinator rebuild`: a lost database, written again from the bucket alone (invariant I12).
//!
//! 1. What was registered and asked for comes from the archive ([`crate::archive`]), with the ids and numbers it had.
//! 2. Each job's tasks are written as they were the first time; their numbers and keys depend on nothing else.
//! 3. Every result pointer whose objects are all in the bucket is given to the tasks of its key: images with their records, latents,
//!    mappers. A pointer with a missing object is named and left out, so no record points at nothing (I4).
//! 4. Cancelled jobs are cancelled, jobs with nothing left to do end, the others are paused until somebody resumes them.
//!
//! Lost for good are failures and attempts (such tasks are tried again), the audit log, workers, and how much each project was
//! served. **After a crash** it is run again: what is there is left as it is.

use crate::archive::{
    CancelDocument, DatasetDocument, JobDocument, KeyDocument, MapperDocument, PREFIX, PackDocument, ProjectDocument,
    SourceLine,
};
use crate::enqueue;
use anyhow::{Context as _, bail, ensure};
use artifacts::{ArtifactClass, Artifacts};
use domain::Digest;
use domain::job_state::{JobEvent, JobState};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use store::{NewEdit, NewJob, PackAdded, PackFacts, PackRow, PointedAt, Pointer, Project, Source, Store, Training};
use wire::broker::v1::{Outcome, ResultPointer};

/// Objects asked for at once.
const AT_ONCE: usize = 32;
/// Pointers written to the database at once.
const POINTERS: usize = 500;
/// Damaged objects that are named; of more, only the number is told.
const NAMED: usize = 20;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Projects that were written.
    pub projects: u64,
    /// Packs that were registered.
    pub packs: u64,
    /// Datasets that were written.
    pub datasets: u64,
    /// Their sources.
    pub sources: u64,
    /// Jobs that were written.
    pub jobs: u64,
    /// Their tasks.
    pub tasks: u64,
    /// Edited images with their records.
    pub results: u64,
    /// Latents and mappers.
    pub artifacts: u64,
    /// Result pointers that no task asked for.
    pub unused: u64,
    /// Objects that could not be used, one sentence each.
    pub damaged: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { projects, packs, datasets, sources, jobs, tasks, results, artifacts, unused, damaged } = self;
        writeln!(f, "{projects} projects, {packs} packs, {datasets} datasets with {sources} sources")?;
        writeln!(f, "{jobs} jobs with {tasks} tasks")?;
        writeln!(f, "{results} results with their records, {artifacts} latents and mappers")?;
        if *unused > 0 {
            writeln!(f, "{unused} results in the bucket belong to no task of these jobs and were left alone")?;
        }
        for sentence in damaged.iter().take(NAMED) {
            writeln!(f, "left out: {sentence}")?;
        }
        if damaged.len() > NAMED {
            writeln!(f, "left out: {} more", damaged.len() - NAMED)?;
        }
        Ok(())
    }
}

/// Rebuilds. `slice_rows` is the number of tasks of one transaction.
///
/// # Errors
/// When the database is in use or holds other things under the same names, or a service fails. What was written stays: run it again.
pub async fn run(store: &Store, artifacts: &Artifacts, slice_rows: usize) -> anyhow::Result<Report> {
    ensure!(
        !store.is_served().await?,
        "workers were heard of on this database within 45 seconds: stop its coordinators and workers first"
    );
    let reading = Reading { store, artifacts };
    let mut report = Report::default();
    store.begin_epochs().await?;
    let (jobs, cancelled) = reading.archive(&mut report).await?;
    for job in &jobs {
        report.tasks += reading.tasks(job.seq, slice_rows).await?;
    }
    store.begin_pointers().await?;
    reading.pointers(&mut report).await?;
    store.pointers_added().await?;
    for job in &jobs {
        let restored = store.apply_pointers(job.seq).await?;
        report.results += restored.results;
        report.artifacts += restored.artifacts;
    }
    report.unused = store.unused_pointers().await?;
    store.end_pointers().await?;
    for job in &jobs {
        let row =
            store.job_by_seq(job.seq).await?.with_context(|| format!("job {} went while it was rebuilt", job.id))?;
        if cancelled.contains_key(&job.seq) {
            store.transition(job.seq, JobEvent::Cancel, None).await?;
        } else if row.state == JobState::Active {
            store.transition(job.seq, JobEvent::Pause, None).await?;
        }
    }
    // those with nothing left to do end, paused or not
    while !store.settle_jobs(100).await?.is_empty() {}
    Ok(report)
}

struct Reading<'a> {
    store: &'a Store,
    artifacts: &'a Artifacts,
}

impl Reading<'_> {
    /// Writes what the archive holds. Returns the jobs in the order of their numbers, and those of them that are cancelled.
    async fn archive(&self, report: &mut Report) -> anyhow::Result<(Vec<JobDocument>, BTreeMap<i64, CancelDocument>)> {
        for object in self.list(&format!("{PREFIX}keys/")).await? {
            let KeyDocument { key_id, certificates, anchor } = self.document(&object).await?;
            self.store.restore_signing_key(key_id, &certificates, anchor.as_deref()).await?;
        }
        for object in self.list(&format!("{PREFIX}projects/")).await? {
            let document: ProjectDocument = self.document(&object).await?;
            let ProjectDocument { id, name, weight, quota_ms_per_day, max_batches, tasks_per_minute } = document;
            let project = Project {
                id,
                name: name.clone(),
                weight,
                quota_ms_per_day,
                max_batches,
                tasks_per_minute,
                served_ms: 0.0,
                used_ms: 0.0,
            };
            let written = self.store.restore_project(&project).await;
            let taken = || format!("project '{name}': is there another of that name? Rebuild into an empty database");
            report.projects += u64::from(written.with_context(taken)?);
        }
        for object in self.list(&format!("{PREFIX}packs/")).await? {
            report.packs += self.pack(self.document(&object).await?).await?;
        }
        let mut segments = Vec::new();
        for object in self.list(&format!("{PREFIX}datasets/")).await? {
            if !object.ends_with("/dataset.json") {
                segments.push(object);
                continue;
            }
            let DatasetDocument { id, project, name } = self.document(&object).await?;
            let written = self.store.restore_dataset(id, project, &name).await;
            let taken = || format!("dataset '{name}': is there another of that name? Rebuild into an empty database");
            report.datasets += u64::from(written.with_context(taken)?);
        }
        for object in segments {
            report.sources += self.segment(&object).await?;
        }
        let (mut jobs, mut cancels) = (Vec::new(), Vec::new());
        for object in self.list(&format!("{PREFIX}jobs/")).await? {
            if object.ends_with("/cancelled.json") {
                cancels.push(self.document::<CancelDocument>(&object).await?);
            } else {
                jobs.push(self.document::<JobDocument>(&object).await?);
            }
        }
        jobs.sort_by_key(|job| job.seq);
        for job in &jobs {
            let written = self.store.restore_job(job.seq, job.id, &new_job(job), job.created_at).await;
            let taken = || {
                format!(
                    "{} (number {}): is there another of that number or key? Rebuild into an empty database",
                    job.id, job.seq
                )
            };
            report.jobs += u64::from(written.with_context(taken)?);
        }
        let of = |id| jobs.iter().find(|job| job.id == id).map(|job| job.seq);
        let cancelled = cancels.into_iter().filter_map(|cancel| Some((of(cancel.id)?, cancel))).collect();
        Ok((jobs, cancelled))
    }

    async fn pack(&self, document: PackDocument) -> anyhow::Result<u64> {
        let PackDocument { name, digest, manifest: manifest_digest } = document;
        let reading = || format!("the manifest of pack '{name}'");
        let bytes = self.artifacts.get(manifest_digest).await.with_context(reading)?;
        let manifest = String::from_utf8(bytes.to_vec()).with_context(reading)?;
        let read = packs::Manifest::from_toml(&manifest).with_context(reading)?;
        let resolution = i32::try_from(read.image.size).with_context(reading)?;
        let row = PackRow { name: name.clone(), digest, manifest_digest, manifest, resolution };
        match self.store.add_pack(&row).await? {
            PackAdded::Added => Ok(1),
            PackAdded::Same => Ok(0),
            PackAdded::Conflict { .. } => {
                bail!("another pack is registered as '{name}' already: rebuild into an empty database")
            }
        }
    }

    async fn segment(&self, object: &str) -> anyhow::Result<u64> {
        let id = object.strip_prefix(PREFIX).and_then(|rest| rest.split('/').nth(1)).unwrap_or_default();
        let dataset = id.parse().with_context(|| object.to_owned())?;
        let bytes = self.artifacts.get_at(object).await?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let sources = lines.map(|line| {
            let SourceLine { ordinal, sha256, uri, bytes, labels, masks, landmarks } = serde_json::from_slice(line)?;
            Ok(Source { ordinal, sha256, uri, bytes, labels, masks, landmarks })
        });
        let sources = sources.collect::<Result<Vec<_>, serde_json::Error>>().with_context(|| object.to_owned())?;
        Ok(self.store.restore_sources(dataset, &sources).await?)
    }

    /// Writes the job's tasks; how many were new.
    async fn tasks(&self, seq: i64, slice_rows: usize) -> anyhow::Result<u64> {
        let mut written = 0;
        loop {
            let job =
                self.store.job_by_seq(seq).await?.with_context(|| format!("job {seq} went while it was rebuilt"))?;
            if job.state != JobState::Accepting {
                return Ok(written);
            }
            let before = job.cursor.clone();
            let rows = enqueue::write_slice(self.store, slice_rows, &job).await?;
            written += rows;
            let after = self.store.job_by_seq(seq).await?;
            ensure!(
                rows > 0 || after.is_none_or(|job| job.cursor != before),
                "the tasks of job {seq} cannot be written; is a coordinator serving this database?"
            );
        }
    }

    /// Reads every result pointer, looks whether its objects are there, and hands it to the database.
    async fn pointers(&self, report: &mut Report) -> anyhow::Result<()> {
        let mut after: Option<String> = None;
        loop {
            let page = self.artifacts.list("results/", after.as_deref()).await?;
            let read = stream::iter(page.objects.iter().map(|object| self.pointer(&object.key)));
            let read: Vec<Result<Pointer, String>> = read.buffer_unordered(AT_ONCE).try_collect().await?;
            let (mut pointers, mut damaged) = (Vec::new(), Vec::new());
            for pointer in read {
                match pointer {
                    Ok(pointer) => pointers.push(pointer),
                    Err(sentence) => damaged.push(sentence),
                }
            }
            for chunk in pointers.chunks(POINTERS) {
                self.store.add_pointers(chunk).await?;
            }
            damaged.sort();
            report.damaged.append(&mut damaged);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// One pointer, or why it cannot be used.
    async fn pointer(&self, object: &str) -> anyhow::Result<Result<Pointer, String>> {
        let pointer: ResultPointer = match self.artifacts.get_result(object).await {
            Ok(Some(pointer)) => pointer,
            Ok(None) => return Ok(Err(format!("{object} went while it was read"))),
            Err(error) if error.class() == ArtifactClass::Unavailable => return Err(error.into()),
            Err(error) => return Ok(Err(format!("{object}: {error}"))),
        };
        let (key, place) = (pointer.key, pointer.object());
        // that of an image may lie under its key alone: earlier versions had one for all tasks of a key
        if place != object && key.result_key() != object {
            return Ok(Err(format!("{object} is the pointer of {place}")));
        }
        let (needs, result): (Vec<Digest>, PointedAt) = match pointer.outcome {
            Outcome::Stored { artifact, .. } => (vec![artifact], PointedAt::Artifact(artifact)),
            Outcome::Edited(edited) => {
                let wire::broker::v1::Edited { image, reconstruction, record_digest, record, .. } = *edited;
                let record = match record.under(record_digest) {
                    Ok(record) => Box::new(record),
                    Err(why) => return Ok(Err(format!("{object}: {why}"))),
                };
                (
                    vec![image, reconstruction, record_digest],
                    PointedAt::Image { image, reconstruction, record_digest, record },
                )
            }
            Outcome::Yielded { .. } | Outcome::Failed { .. } => {
                return Ok(Err(format!("{object} points at no result")));
            }
        };
        for digest in needs {
            if !self.artifacts.exists(digest).await? {
                return Ok(Err(format!("{object}: the object {} is missing", digest.cas_key())));
            }
        }
        Ok(Ok(Pointer { key, result }))
    }

    async fn list(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.artifacts.list(prefix, after.as_deref()).await?;
            keys.extend(page.objects.into_iter().map(|object| object.key));
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(keys),
            }
        }
    }

    async fn document<T: DeserializeOwned>(&self, object: &str) -> anyhow::Result<T> {
        let bytes = self.artifacts.get_at(object).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("{object} is no document that this version reads"))
    }
}

fn new_job(document: &JobDocument) -> NewJob {
    let JobDocument { project, idempotency_key, submitted_by, spec, spec_digest, dataset, pack, edits, .. } = document;
    let edit = |edit: &crate::archive::EditDocument| NewEdit {
        slug: edit.slug.clone(),
        spec: edit.spec.clone(),
        digest: edit.digest,
        training: match edit.mapper {
            Some(MapperDocument::Trained { key, training_set }) => Some(Training { mapper_key: key, training_set }),
            _ => None,
        },
        mapper: match edit.mapper {
            Some(MapperDocument::Given(mapper)) => Some(mapper),
            _ => None,
        },
    };
    NewJob {
        project: *project,
        idempotency_key: idempotency_key.clone(),
        submitted_by: submitted_by.clone(),
        traceparent: None,
        spec_digest: *spec_digest,
        spec: spec.clone(),
        dataset: *dataset,
        pack: PackFacts { name: pack.name.clone(), digest: pack.digest, manifest: pack.manifest },
        edits: edits.iter().map(edit).collect(),
    }
}
