//! Seals an ended job: its results, failures and description as files in the bucket, and an in-toto statement in a DSSE envelope that
//! names them by digest. Who has the envelope and an anchor can prove what the job came to, without this installation.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.jsonl` | a line an output: its file, its source, its record |
//! | `records.parquet` | a row an output: what was asked for, how it was judged |
//! | `failures.jsonl` | a line a task that has no output, with its reason |
//! | `croissant.json` | the data set, for programs and people (Croissant 1.1) |
//!
//! Rows are read by pages and written to temporary files: memory does not grow with the job. A seal that was under way when a process
//! died is made again from the start; the files are named by their digests, so nothing is doubled.

mod describe;

use crate::app::App;
use crate::error::LoopError;
use artifacts::Artifacts;
use bytes::Bytes;
use chrono::SubsecRound as _;
use credentials::dsse::{STATEMENT_TYPE, Statement, Subject, seal};
use credentials::{KeyError, Sign as _};
use domain::edit::EditSpec;
use domain::record::Verdict;
use domain::task_state::TaskState;
use domain::{Digest, Output};
use exports::{Columns, ExportError, Failure, JsonLines, Made, Manifested, Row, Table, Written, column_of_metric};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _};
use std::time::Duration;
use store::{JobRow, LeaderEpoch, PairFacts, Phase, ResultFilter, ResultRow, SealRow, SealedFile, Unsealed};

/// Rows of a page.
const PAGE: i64 = 1_000;
/// One coordinator at a time reads a job through; it says so again with every page.
const LEASE: Duration = Duration::from_secs(60);
const CHORE: &str = "seal";
/// Type of the statement's predicate: SLSA's names for what they fit, without a claim to one of its levels.
pub const PREDICATE_TYPE: &str = "urn:counterfactory:seal:1";

/// Why a job could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Another coordinator is at it.
    #[error("another coordinator is sealing")]
    Elsewhere,
    /// A file could not be written.
    #[error("a sealed file cannot be written")]
    File(#[from] std::io::Error),
    /// Or not in its form.
    #[error("a sealed file cannot be written")]
    Export(#[from] ExportError),
    /// The key did not sign.
    #[error("the seal is not signed")]
    Key(#[from] KeyError),
    /// A service failed.
    #[error(transparent)]
    Loop(#[from] LoopError),
}

impl From<store::StoreError> for SealError {
    fn from(error: store::StoreError) -> Self {
        Self::Loop(error.into())
    }
}

impl From<artifacts::ArtifactError> for SealError {
    fn from(error: artifacts::ArtifactError) -> Self {
        Self::Loop(error.into())
    }
}

/// Seals `job` as it ended then. Whether there is a new seal.
///
/// # Errors
/// When a service fails; trying again is safe.
pub async fn run(app: &App, job: Unsealed) -> Result<bool, SealError> {
    let sealing = Sealing { app, job };
    sealing.lease().await?;
    let done = sealing.run().await;
    app.store.resign(CHORE, &app.holder).await?;
    done
}

struct Sealing<'a> {
    app: &'a App,
    job: Unsealed,
}

impl Sealing<'_> {
    /// Says that this process is at it.
    async fn lease(&self) -> Result<LeaderEpoch, SealError> {
        let held = self.app.store.acquire(CHORE, &self.app.holder, LEASE).await?;
        held.ok_or(SealError::Elsewhere)
    }

    async fn run(&self) -> Result<bool, SealError> {
        let Some(job) = self.app.store.job_by_seq(self.job.seq).await? else { return Ok(false) };
        let edits = self.app.store.edits(job.seq).await?.into_iter().map(|edit| edit.spec).collect::<Vec<_>>();
        let (columns, counts) = self.survey(&job).await?;
        let mut manifest = JsonLines::new(BufWriter::new(tempfile::tempfile()?));
        let mut table = Table::new(BufWriter::new(tempfile::tempfile()?), &columns)?;
        let mut pages = Pages::default();
        while let Some(page) = pages.next(self, &job).await? {
            for (result, facts) in &page {
                let row = row(&job, &edits, result, facts);
                manifest.push(&Manifested::of(&row, ""), &row.sample_id)?;
                table.push(&row)?;
            }
        }
        let (failures, failed) = self.failures(&job).await?;
        let mut files = vec![
            self.keep("manifest.jsonl", manifest.finish()?.0).await?,
            self.keep("records.parquet", table.finish()?).await?,
            self.keep("failures.jsonl", failures).await?,
        ];
        let document = describe::croissant(self.app, &job, &edits, columns, &files, &counts).await?;
        files.push(self.keep_bytes("croissant.json", document).await?);

        let statement = self.statement(&job, &edits, &files, &counts, failed);
        let signer = self.app.signing.signer();
        let key_id = signer.certificates().key_id();
        let signing = tokio::task::spawn_blocking(move || seal(&statement, &*signer));
        let envelope = signing.await.map_err(|error| KeyError::Refused(error.to_string()))??;
        let envelope = serde_json::to_vec(&envelope).map_err(LoopError::Encode)?;
        let attestation = self.app.artifacts.put(Bytes::from(envelope)).await?;
        let row = SealRow {
            finished_at: self.job.finished_at,
            key_id,
            attestation,
            files,
            results: counts.results,
            failures: failed,
            sealed_at: self.job.finished_at,
        };
        Ok(self.app.store.seal(job.seq, &row).await?)
    }

    /// Which columns there are, and how many outputs of each verdict.
    async fn survey(&self, job: &JobRow) -> Result<(Columns, Counts), SealError> {
        let (mut columns, mut counts) = (Columns::new(true), Counts::default());
        let mut pages = Pages::default();
        while let Some(page) = pages.next(self, job).await? {
            for (result, facts) in &page {
                let metrics: Vec<String> = result.metrics.keys().map(|name| column_of_metric(name)).collect();
                columns.note(&metrics, facts.labels.keys());
                counts.note(result);
            }
        }
        Ok((columns, counts))
    }

    async fn failures(&self, job: &JobRow) -> Result<(BufWriter<File>, i64), SealError> {
        let mut lines = JsonLines::new(BufWriter::new(tempfile::tempfile()?));
        let mut count = 0;
        for phase in [Phase::Dead, Phase::Cancelled] {
            let mut after = None;
            loop {
                self.lease().await?;
                let page = self.app.store.tasks(job.seq, Some(phase), after, PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.no);
                for task in page {
                    let edit = task.edit_no.and_then(|no| job.spec.edits.get(usize::try_from(no).ok()?));
                    let reason = match task.task.state {
                        TaskState::Dead { reason } => Some(reason.code().to_owned()),
                        _ => task.cancelled_for,
                    };
                    let sample_id = task.id.to_string();
                    let failure = Failure {
                        sample_id: sample_id.clone(),
                        stage: task.stage.name().to_owned(),
                        status: task.task.state.name().to_owned(),
                        edit_id: edit.map(EditSpec::slug),
                        source_uri: None,
                        reason,
                        detail: task.detail,
                    };
                    lines.push(&failure, &sample_id)?;
                    count += 1;
                }
            }
        }
        Ok((lines.finish()?.0, count))
    }

    async fn keep(&self, name: &str, file: BufWriter<File>) -> Result<SealedFile, SealError> {
        let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        store_file(&self.app.artifacts, name, file).await
    }

    async fn keep_bytes(&self, name: &str, bytes: Vec<u8>) -> Result<SealedFile, SealError> {
        let length = bytes.len() as u64;
        let sha256 = self.app.artifacts.put(Bytes::from(bytes)).await?;
        Ok(SealedFile { name: name.to_owned(), sha256, bytes: length })
    }

    fn statement(
        &self,
        job: &JobRow,
        edits: &[EditSpec],
        files: &[SealedFile],
        counts: &Counts,
        failures: i64,
    ) -> Statement {
        let texts: Vec<&str> = edits.iter().map(|edit| edit.text.as_str()).collect();
        let predicate = json!({
            "buildDefinition": {
                "buildType": "urn:counterfactory:job:1",
                "externalParameters": { "spec_digest": job.spec_digest, "edits": texts, "output": output(&job.spec.output) },
                "resolvedDependencies": [
                    { "name": "pack", "uri": format!("urn:counterfactory:pack:{}", job.pack.name),
                      "digest": { "sha256": job.pack.digest } },
                    { "name": "dataset", "uri": format!("urn:counterfactory:dataset:{}", job.dataset) },
                ],
            },
            "runDetails": {
                "builder": { "id": "urn:counterfactory:coordinator", "version": { "coordinator": env!("CARGO_PKG_VERSION") } },
                "metadata": {
                    "invocationId": job.id,
                    "startedOn": job.created_at.trunc_subsecs(3),
                    "finishedOn": self.job.finished_at.trunc_subsecs(3),
                },
            },
            "job": job.id,
            "project": job.project_name,
            "state": job.state.name(),
            "counts": {
                "results": counts.results, "accepted": counts.accepted, "rejected": counts.rejected,
                "unjudged": counts.unjudged, "failures": failures,
            },
        });
        Statement {
            kind: STATEMENT_TYPE.to_owned(),
            subject: files.iter().map(|file| Subject::new(&file.name, file.sha256)).collect(),
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        }
    }
}

fn output(output: &Output) -> serde_json::Value {
    json!({ "format": output.format.name(), "detail": output.detail.name() })
}

/// How many outputs there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    results: i64,
    accepted: i64,
    rejected: i64,
    unjudged: i64,
}

impl Counts {
    fn note(&mut self, result: &ResultRow) {
        self.results += 1;
        *match result.verdict {
            Some(Verdict::Accept) => &mut self.accepted,
            Some(Verdict::Reject) => &mut self.rejected,
            None => &mut self.unjudged,
        } += 1;
    }
}

/// Results in the order of their numbers.
#[derive(Default)]
struct Pages {
    after: Option<i32>,
}

impl Pages {
    async fn next(
        &mut self,
        sealing: &Sealing<'_>,
        job: &JobRow,
    ) -> Result<Option<Vec<(ResultRow, PairFacts)>>, SealError> {
        sealing.lease().await?;
        let store = &sealing.app.store;
        let page = store.results(job.seq, ResultFilter::default(), self.after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.task.no);
        let numbers: Vec<i32> = page.iter().map(|result| result.task.no).collect();
        let mut facts = store.pair_facts(job.seq, &numbers).await?;
        let with = |result: ResultRow| {
            let facts = facts.remove(&result.task.no).unwrap_or_default();
            (result, facts)
        };
        Ok(Some(page.into_iter().map(with).collect()))
    }
}

/// A result as a row; its files are named by where they lie in the bucket.
fn row(job: &JobRow, edits: &[EditSpec], result: &ResultRow, facts: &PairFacts) -> Row {
    let edit = usize::try_from(result.edit_no).ok().and_then(|no| edits.get(no));
    let split = facts.labels.get("split").cloned().unwrap_or_else(|| job.dataset_name.clone());
    let made = Made {
        task: result.task,
        ordinal: result.ordinal,
        edit: &result.edit_slug,
        strength: result.strength,
        seed: result.seed,
        steps: facts.steps,
        verdict: result.verdict,
        rejected_for: &result.rejected_for,
        source: result.source_sha256,
        image: result.image,
        reconstruction: Some(result.reconstruction),
        record: result.record,
        metrics: &result.metrics,
        labels: &facts.labels,
    };
    Row {
        source_file_name: result.source_sha256.cas_key(),
        edited_file_name: result.image.cas_key(),
        recon_file_name: Some(result.reconstruction.cas_key()),
        ..Row::of(&made, edit, split)
    }
}

/// Stores a file whose digest is not known yet: it is read twice.
async fn store_file(artifacts: &Artifacts, name: &str, mut file: File) -> Result<SealedFile, SealError> {
    let mut hashed = exports::Hashed::new(std::io::sink());
    std::io::copy(&mut file, &mut hashed)?;
    let (_, Written { sha256, bytes }) = hashed.finish();
    file.rewind()?;
    let mut upload = artifacts.upload(sha256);
    let (mut reader, mut piece) = (BufReader::new(file), vec![0; 1 << 20]);
    loop {
        let count = reader.read(&mut piece)?;
        if count == 0 {
            break;
        }
        upload.push(&piece[..count]).await?;
    }
    upload.finish().await?;
    Ok(SealedFile { name: name.to_owned(), sha256, bytes })
}

/// A digest as an identifier.
fn urn(digest: Digest) -> String {
    format!("urn:sha256:{digest}")
}
