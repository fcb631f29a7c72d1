//! The dispatcher: keeps two to three batches per live worker slot outside Postgres, no more. Who is next is the store's fair
//! order; what a batch may hold is decided here. Each claim hands its tasks out and writes the message into the outbox in one
//! transaction.
//!
//! Two coordinators that look at the same moment may both fill the window. That is harmless: the window bounds how long a pause
//! or a fair share takes to show, not what is correct.

use crate::app::App;
use crate::config::Tuning;
use crate::error::LoopError;
use crate::keys;
use crate::sweep::Reconciler;
use broker::topology::work_queue;
use domain::{Framing, Stage};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use store::{
    Backlog, ClaimRequest, ClaimedBatch, ClaimedInvert, ClaimedSource, ClaimedTasks, ClassWindow, EditRow, Estimates,
    Gate, JobRow, OutboxMessage,
};
use wire::broker::v1::{EditItem, Fence, InvertItem, PackRef, SourceRef, TrainItem, Work, WorkBatch};

/// Batches claimed for one project before the fair order is asked for again.
const BURST: u32 = 4;

/// The loop's body.
pub struct Dispatch {
    /// What it works with.
    pub app: App,
}

impl Reconciler for Dispatch {
    const NAME: &'static str = "dispatch";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let tuning = &self.app.config.tuning;
        let mut room = Room::of(&self.app.store.window_state().await?, tuning);
        let mut known = Known { methods: HashMap::new(), estimates: self.app.store.estimates().await? };
        let mut claimed = 0;
        // what the broker does not take piles up in the outbox, up to here
        let mut unsent = self.app.store.unsent(tuning.outbox_bound).await?;
        while room.any() && unsent < tuning.outbox_bound {
            let burst = self.burst(&mut room, &mut known).await?;
            if burst == 0 {
                break;
            }
            claimed += burst;
            unsent += burst.cast_signed();
            self.app.wake.relay.notify_one();
        }
        metrics::counter!("cfx_batches_dispatched_total").increment(claimed);
        Ok(claimed)
    }
}

/// Free places by worker class.
struct Room(Vec<(String, i64)>);

impl Room {
    fn of(windows: &[ClassWindow], tuning: &Tuning) -> Self {
        let free = |window: &ClassWindow| {
            let slots = window.workers * i64::from(tuning.slots_per_worker) * i64::from(tuning.window);
            (window.class.clone(), slots - window.in_flight.values().sum::<i64>())
        };
        Self(windows.iter().map(free).collect())
    }

    fn any(&self) -> bool {
        self.0.iter().any(|(_, free)| *free > 0)
    }

    /// The class with the most free places.
    fn best(&mut self) -> Option<&mut (String, i64)> {
        self.0.iter_mut().filter(|(_, free)| *free > 0).max_by_key(|(_, free)| *free)
    }
}

/// What one pass has looked up.
struct Known {
    /// The edits of jobs by the job's number: their methods say how large a batch may be.
    methods: HashMap<i64, Vec<EditRow>>,
    /// What work costs.
    estimates: Estimates,
}

impl Dispatch {
    /// Claims a few batches for the project that is next.
    async fn burst(&self, room: &mut Room, known: &mut Known) -> Result<u64, LoopError> {
        let lanes = self.app.store.backlog().await?;
        let Some(project) = lanes.first().map(|lane| lane.project) else { return Ok(0) };
        let mut claimed = 0;
        // lanes of other projects follow only if nothing of the first could be claimed (another coordinator was quicker)
        for lane in &lanes {
            if claimed > 0 && lane.project != project {
                break;
            }
            while claimed < u64::from(BURST) {
                let Some((class, free)) = room.best() else { return Ok(claimed) };
                let request = self.request(lane, class.clone(), known).await?;
                let Some(batch) = self.app.store.claim_batch(&request, message).await? else { break };
                telemetry::crash_point("o.after_commit");
                tracing::debug!(batch = %batch.batch, job = %batch.job.id, stage = %lane.stage, tasks = batch.len(), "a batch is handed out");
                *free -= 1;
                claimed += 1;
            }
        }
        Ok(claimed)
    }

    async fn request(&self, lane: &Backlog, class: String, known: &mut Known) -> Result<ClaimRequest, LoopError> {
        let tuning = &self.app.config.tuning;
        let optimises = match lane.edit_no {
            None => false,
            Some(edit_no) => {
                let edits = match known.methods.entry(lane.job_seq) {
                    Entry::Occupied(edits) => edits.into_mut(),
                    Entry::Vacant(place) => place.insert(self.app.store.edits(lane.job_seq).await?),
                };
                edits.iter().any(|e| e.edit_no == edit_no && e.spec.method.descent().is_some())
            }
        };
        // the guesses matter until the first measured result of such work on this pack only
        let (limit, guess_ms) = match (lane.stage, optimises) {
            (Stage::Invert, _) => (tuning.batch_invert, 200.0),
            (Stage::Train, _) => (1, 60_000.0),
            (Stage::Edit, false) => (tuning.batch_mapper, 200.0),
            (Stage::Edit, true) => (tuning.batch_optimise, 5_000.0),
        };
        let learnt = |cost| known.estimates.task_ms(Some(&class), lane.pack, lane.stage, cost);
        let learnt_ms = lane.cost.as_ref().and_then(learnt);
        let limit = match (lane.stage, learnt_ms) {
            (Stage::Train, _) | (_, None) => limit,
            (_, Some(ms)) => size(tuning, limit, ms),
        };
        let estimate_ms = learnt_ms.unwrap_or(guess_ms);
        Ok(ClaimRequest {
            job_seq: lane.job_seq,
            stage: lane.stage,
            edit_no: lane.edit_no,
            limit: i64::from(limit),
            class,
            estimate_ms,
            limited: lane.limited,
        })
    }
}

/// How many tasks of `each_ms` milliseconds make a batch: `usual`, or as many more as fit into the time of one.
fn size(tuning: &Tuning, usual: u32, each_ms: f64) -> u32 {
    let fitting = tuning.batch_time.as_secs_f64() * 1e3 / each_ms.max(1e-3);
    // safe to cast: a float beyond the range becomes the range's end
    (fitting as u32).min(tuning.batch_most).max(usual)
}

const fn fence(fence: store::Fence) -> Fence {
    Fence { task: fence.task, epoch: fence.epoch }
}

fn source(source: &ClaimedSource) -> SourceRef {
    SourceRef { sha256: source.sha256, uri: source.uri.clone(), ordinal: source.ordinal }
}

/// How a task's source is framed: as its key says. Landmarks that came after the key was made belong to other work.
fn framing(job: &JobRow, task: &ClaimedInvert) -> Framing {
    let framing = job.spec.frame.of(task.landmarks.clone());
    let key = keys::invert(job.pack.digest, task.source.sha256, &framing, &job.spec.inversion, job.spec.precision);
    if key.is_ok_and(|key| key == task.key) { framing } else { job.spec.frame.of(None) }
}

/// The message that hands a batch out.
fn message(claimed: &ClaimedBatch) -> OutboxMessage {
    let job = &claimed.job;
    let work = match &claimed.tasks {
        ClaimedTasks::Invert(tasks) => Work::Invert {
            inversion: job.spec.inversion.clone(),
            items: tasks
                .iter()
                .map(|t| InvertItem {
                    fence: fence(t.fence),
                    key: t.key,
                    source: source(&t.source),
                    checkpoint: t.checkpoint,
                    framing: framing(job, t),
                })
                .collect(),
        },
        ClaimedTasks::Train { edit, task } => Work::Train {
            edit: edit.spec.clone(),
            item: TrainItem {
                fence: fence(task.fence),
                key: task.key,
                training_set: task.training_set,
                checkpoint: task.checkpoint,
            },
        },
        ClaimedTasks::Edit { edit, tasks } => Work::Edit {
            edit: edit.spec.clone(),
            inversion: job.spec.inversion.clone(),
            mapper: match edit.gate {
                Gate::Open { mapper } => Some(mapper),
                Gate::None | Gate::Waiting | Gate::Dead => None,
            },
            items: tasks
                .iter()
                .map(|t| EditItem {
                    fence: fence(t.fence),
                    key: t.key,
                    source: source(&t.source),
                    latent: t.latent,
                    mask: t.mask,
                    strength: t.strength,
                    seed: t.seed,
                    checkpoint: t.checkpoint,
                })
                .collect(),
        },
    };
    let batch = WorkBatch {
        batch: claimed.batch,
        job: job.id,
        project: job.project_name.clone(),
        dataset: job.dataset_name.clone(),
        output: job.spec.output,
        precision: job.spec.precision,
        submitter: job.submitted_by.clone(),
        pack: PackRef { name: job.pack.name.clone(), digest: job.pack.digest, manifest: job.pack.manifest },
        work,
    };
    OutboxMessage {
        routing_key: work_queue(batch.stage(), &claimed.class),
        // safe because every map in a batch has text keys, the only thing JSON could refuse
        payload: serde_json::to_value(&batch).expect("a batch has a JSON form"),
        traceparent: Some(trace(job, &claimed.batch)),
    }
}

/// The batch's part of the trace that its job was submitted in. Where traces go nowhere: an id that the batch gives, so that logs of all
/// processes meet.
fn trace(job: &JobRow, batch: &domain::BatchId) -> String {
    let span = tracing::info_span!("dispatch", otel.name = "dispatch batch", %batch, job = %job.id, trace_id = tracing::field::Empty);
    telemetry::traces::follow(&span, job.traceparent.as_deref());
    if let Some(context) = telemetry::traces::context(&span) {
        return context;
    }
    let mut ids = [0_u8; 24];
    ids[..16].copy_from_slice(batch.as_uuid().as_bytes());
    ids[16..].copy_from_slice(&batch.as_uuid().as_bytes()[8..]);
    telemetry::TraceParent::new(ids).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn cheap_tasks_make_larger_batches_and_dear_ones_the_usual() {
        let tuning = Tuning::default();
        assert_eq!([0.0, 20.0, 50.0, 125.0, 5_000.0].map(|ms| size(&tuning, 16, ms)), [64, 64, 40, 16, 16]);
    }

    #[test]
    fn room_is_what_the_window_leaves() {
        let window = |class: &str, workers, in_flight| ClassWindow {
            class: class.into(),
            workers,
            in_flight: BTreeMap::from([(Stage::Edit, in_flight)]),
        };
        let tuning = Tuning { window: 3, slots_per_worker: 1, ..Tuning::default() };
        let mut room = Room::of(&[window("cpu", 2, 5), window("cuda", 1, 0), window("old", 0, 1)], &tuning);
        assert_eq!(room.0, [("cpu".into(), 1), ("cuda".into(), 3), ("old".into(), -1)]);
        assert_eq!(room.best().map(|(class, _)| class.as_str()), Some("cuda"));
        assert!(!Room::of(&[window("cpu", 1, 4)], &tuning).any());
    }
}
