//! Writes the tasks of accepted jobs, slice by slice: first the trainings, since whole edits wait for them, then source after
//! source with its inversion and its edits, so that results begin to come while later sources are still being written.
//!
//! **After a crash** the next slice begins at the job's cursor, in whichever coordinator; a slice is written whole or not at all.

use crate::app::App;
use crate::archive;
use crate::error::LoopError;
use crate::keys::{self, EditInputs};
use crate::sweep::Reconciler;
use domain::{Digest, StageKey};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use store::{EditRow, JobRow, NewTask, SliceOutcome, Source, Store};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// Jobs looked at in one round.
const JOBS: i64 = 16;
/// Sources read for one slice at most, whatever the number of rows they give.
const MOST_SOURCES: usize = 5_000;

/// How far a job's tasks are written. Kept in the job's row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Cursor {
    /// The next source.
    ordinal: i64,
    /// How many sources each edit has admitted, for selections with a limit.
    admitted: Vec<u32>,
}

/// The loop's body.
pub struct Enqueue {
    app: App,
    /// The next slices of jobs that are being written, made while the database takes the ones before: making keys and taking rows
    /// cost about the same.
    ahead: Mutex<HashMap<i64, JoinHandle<Result<Slice, LoopError>>>>,
}

impl Reconciler for Enqueue {
    const NAME: &'static str = "enqueue";
    const EAGER: bool = true;
    /// A slice of tasks has its keys computed, and is written in one go.
    const PATIENCE: Duration = Duration::from_secs(600);

    async fn run_once(&self) -> Result<u64, LoopError> {
        let mut written = 0;
        let jobs = self.app.store.accepting_jobs(JOBS).await?;
        // what another coordinator went on with, or what was cancelled, is made for nothing
        self.ahead.lock().await.retain(|seq, _| jobs.iter().any(|job| job.seq == *seq));
        for job in jobs {
            match self.slice(&job).await {
                Ok(tasks) => written += tasks,
                // one job that cannot be written must not hold up the others
                Err(error) => {
                    tracing::error!(job = %job.id, error = error.chain(), "the tasks of a job cannot be written");
                    metrics::counter!("cfx_loop_errors_total", "loop" => Self::NAME).increment(1);
                }
            }
        }
        if written > 0 {
            self.app.wake.dispatch.notify_one();
        }
        Ok(written)
    }
}

impl Enqueue {
    /// The loop's body, with nothing made ahead.
    pub fn new(app: App) -> Self {
        Self { app, ahead: Mutex::default() }
    }

    async fn slice(&self, job: &JobRow) -> Result<u64, LoopError> {
        let App { store, artifacts, config, .. } = &self.app;
        if job.cursor.is_null() {
            // before there is a task there is a way to rebuild it: invariant I12
            archive::job(store, artifacts, job).await?;
        }
        let rows = config.tuning.slice_rows;
        let made = self.ahead.lock().await.remove(&job.seq);
        let made = match made {
            Some(made) => made.await.ok().and_then(Result::ok).filter(|slice| slice.from == job.cursor),
            None => None,
        };
        let slice = match made {
            Some(slice) => slice,
            None => Slice::make(store, rows, job).await?,
        };
        if !slice.last {
            let (seq, store, job) = (job.seq, store.clone(), JobRow { cursor: slice.to.clone(), ..job.clone() });
            let next = tokio::spawn(async move { Slice::make(&store, rows, &job).await });
            self.ahead.lock().await.insert(seq, next);
        }
        slice.write(store, job).await
    }
}

/// Writes the job's next slice; the number of rows, and at least 1 when the job moved on.
///
/// # Errors
/// When the cursor is another version's, or the database fails.
pub async fn write_slice(store: &Store, slice_rows: usize, job: &JobRow) -> Result<u64, LoopError> {
    Slice::make(store, slice_rows, job).await?.write(store, job).await
}

/// The tasks between two places of a job's cursor.
struct Slice {
    from: serde_json::Value,
    to: serde_json::Value,
    tasks: Vec<NewTask>,
    last: bool,
}

impl Slice {
    async fn make(store: &Store, rows: usize, job: &JobRow) -> Result<Self, LoopError> {
        let edits = store.edits(job.seq).await?;
        let mut tasks = Vec::new();
        let mut cursor = match &job.cursor {
            serde_json::Value::Null => {
                tasks.extend(trainings(&edits));
                Cursor { ordinal: 0, admitted: vec![0; edits.len()] }
            }
            value => serde_json::from_value(value.clone())
                .map_err(|error| LoopError::Unreadable { job: job.seq, what: format!("its cursor: {error}") })?,
        };
        let per_source = 1 + edits.len() * job.spec.strengths.len() * job.spec.seeds.len();
        let room = rows.saturating_sub(tasks.len());
        let wanted = (room / per_source).clamp(1, MOST_SOURCES);
        let sources = store.sources(job.dataset, Some(cursor.ordinal - 1), wanted as i64).await?;
        for source in &sources {
            of_source(job, &edits, source, &mut cursor.admitted, &mut tasks)?;
            cursor.ordinal = source.ordinal + 1;
        }
        let to = serde_json::to_value(&cursor)?;
        Ok(Self { from: job.cursor.clone(), to, tasks, last: sources.len() < wanted })
    }

    async fn write(self, store: &Store, job: &JobRow) -> Result<u64, LoopError> {
        let outcome = store.write_slice(job.seq, &self.from, &self.to, &self.tasks, self.last).await?;
        Ok(match outcome {
            SliceOutcome::Written { tasks, memoised } => {
                tracing::info!(job = %job.id, tasks, memoised, finished = self.last, "a slice of tasks was written");
                tasks.max(1)
            }
            SliceOutcome::Moved { .. } | SliceOutcome::Stopped { .. } => 0,
        })
    }
}

fn trainings(edits: &[EditRow]) -> impl Iterator<Item = NewTask> {
    edits.iter().filter_map(|edit| Some(NewTask::Train { edit_no: edit.edit_no, key: edit.training?.mapper_key }))
}

/// The inversion of `source` and its edits, if any edit selects it.
fn of_source(
    job: &JobRow,
    edits: &[EditRow],
    source: &Source,
    admitted: &mut [u32],
    tasks: &mut Vec<NewTask>,
) -> Result<(), LoopError> {
    let selects = |edit: &EditRow, count: u32| {
        edit.spec.only.limit.is_none_or(|limit| count < limit) && edit.spec.only.admits(&source.labels)
    };
    let (pack, sha256): (Digest, Digest) = (job.pack.digest, source.sha256);
    let mut latent: Option<StageKey> = None;
    for (edit, count) in edits.iter().zip(admitted) {
        if !selects(edit, *count) {
            continue;
        }
        *count += 1;
        let latent = match latent {
            Some(key) => key,
            None => {
                let framing = job.spec.frame.of(source.landmarks.clone());
                let key = keys::invert(pack, sha256, &framing, &job.spec.inversion, job.spec.precision)?;
                tasks.push(NewTask::Invert { ordinal: source.ordinal, key });
                *latent.insert(key)
            }
        };
        // a mapper that was brought along is named by its digest: nothing of it is to be found out
        let mapper = edit.training.map(|t| t.mapper_key).or(edit.spec.method.given_mapper().map(StageKey));
        // a source that lacks the mask is handed out all the same: its task ends with the reason, and can be retried once it has one
        let mask = edit.spec.method.guards().mask().and_then(|name| source.masks.get(name).copied());
        let inputs = EditInputs { source: sha256, latent, mapper, mask };
        for &strength in &job.spec.strengths {
            for &seed in &job.spec.seeds {
                let key = keys::edit(pack, inputs, &edit.spec, strength, seed, job.spec.precision)?;
                let (edit_no, ordinal) = (edit.edit_no, source.ordinal);
                tasks.push(NewTask::Edit { edit_no, ordinal, strength, seed, key, needs: latent });
            }
        }
    }
    Ok(())
}
