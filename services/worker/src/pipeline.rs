//! A batch from the queue to its outcomes: staged, computed, uploaded, told.

mod edit;
mod frame;
mod invert;
mod null;
mod train;

#[cfg(test)]
mod tests;

pub use null::{Null, UnknownExecutor};

use crate::cache::PackCache;
use crate::drain::Drain;
use crate::gpu::{Gpu, Networks};
use crate::held::{Held, HeldTask};
use crate::report::Reporter;
use crate::settle::Taken;
use crate::signing::Signing;
use crate::stages::ended::{Ended, Halted};
use crate::stages::upload;
use crate::stages::watermark::Watermarker;
use artifacts::Artifacts;
use broker::topology::work_queue;
use domain::Reason;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telemetry::crash_on;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;
use wire::broker::v1::{Fence, ItemOutcome, Outcome, Work, WorkBatch};

/// Batches that may upload and report while others compute.
const FINISHING: usize = 2;

/// What every batch works with.
pub struct Line {
    /// The tensor thread.
    pub gpu: Gpu,
    /// What takes its place, where nothing is to be computed.
    pub null: Option<Null>,
    /// The bucket.
    pub artifacts: Artifacts,
    /// Packs on this machine.
    pub packs: PackCache,
    /// The worker's voice.
    pub reporter: Reporter,
    /// Who signs images.
    pub signing: Signing,
    /// What puts a watermark into them.
    pub watermarker: Watermarker,
    /// What is in hand.
    pub held: Arc<Held>,
    /// Whether the worker ends.
    pub drain: Drain,
    /// Longest slice of long work.
    pub slice: Duration,
    /// Places for batches that are being uploaded.
    pub finishing: Arc<Semaphore>,
}

impl Line {
    /// Places for [`Line::finishing`].
    pub fn finishing() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(FINISHING))
    }
}

/// How one item of a batch ended, and its share of the tensor time.
struct Told {
    result: Result<Outcome, Ended>,
    gpu_ms: f64,
}

impl Told {
    const fn without_work(ended: Ended) -> Self {
        Self { result: Err(ended), gpu_ms: 0.0 }
    }
}

/// Runs a batch and tells how every item ended. `slot` is given up once its tensor work is done.
pub async fn run(line: Arc<Line>, taken: Taken, slot: OwnedSemaphorePermit) {
    let span =
        telemetry::traces::processing(&work_queue(taken.batch.stage(), line.reporter.class()), taken.trace.as_deref());
    span.record("batch", taken.batch.batch.to_string()).record("job", taken.batch.job.to_string());
    let trace = telemetry::traces::context(&span).or_else(|| taken.trace.clone());
    through(line, Taken { trace, ..taken }, slot).instrument(span).await;
}

async fn through(line: Arc<Line>, taken: Taken, slot: OwnedSemaphorePermit) {
    let Taken { batch, holding, trace } = taken;
    let batch = Arc::new(batch);
    let tasks = holding.tasks.clone();
    // A task of its own, so that a panic in it still gets every item its outcome.
    let working = work(Arc::clone(&line), Arc::clone(&batch), tasks.clone(), slot);
    let working = tokio::spawn(working.in_current_span());
    let told = working.await.unwrap_or_else(|error| {
        tracing::error!(batch = %batch.batch, %error, "a batch ended in a panic");
        tasks.iter().map(|_| Told::without_work(Ended::internal("the worker panicked; see its log"))).collect()
    });
    let left = Instant::now();
    if let Some(heard) = stopped_since(&tasks, &told) {
        let fences = tasks.iter().map(|task| task.fence).collect();
        line.reporter.stopped(fences, left.saturating_duration_since(heard), trace.clone()).await;
    }
    let mut items = Vec::with_capacity(told.len());
    for (task, Told { result, gpu_ms }) in tasks.iter().zip(told) {
        let outcome = match result {
            // A finished result is told even if nobody seems to want it: the fence decides, and it costs nothing.
            Ok(outcome) => Some(outcome),
            Err(_) if task.is_cancelled() => None,
            Err(ended) => ended.outcome(),
        };
        if let Some(Outcome::Failed { reason, detail }) = &outcome {
            tracing::warn!(task = %task.fence.task, epoch = task.fence.epoch, %reason, detail, "an item failed");
            if *reason == Reason::DeviceLost {
                line.drain.device_lost();
            }
        }
        items.extend(outcome.map(|outcome| ItemOutcome { fence: task.fence, gpu_ms, outcome }));
    }
    tracing::info!(batch = %batch.batch, items = items.len(), "finished a batch");
    line.reporter.outcomes(batch.batch, items, trace).await;
}

/// When the last cancel of a batch was heard of which nothing is wanted any more and nothing was finished: a batch with results has
/// not stopped for its cancel, and has uploaded since it left the device.
fn stopped_since(tasks: &[Arc<HeldTask>], told: &[Told]) -> Option<Instant> {
    if told.iter().any(|told| told.result.is_ok()) {
        return None;
    }
    let heard: Option<Vec<Instant>> = tasks.iter().map(|task| task.cancelled_at()).collect();
    heard?.into_iter().max()
}

async fn work(
    line: Arc<Line>,
    batch: Arc<WorkBatch>,
    tasks: Vec<Arc<HeldTask>>,
    slot: OwnedSemaphorePermit,
) -> Vec<Told> {
    if line.drain.is_begun() {
        // Handed back before anything is fetched for it.
        return all_ended(tasks.len(), &Ended::Yielded(None));
    }
    if let Work::Invert { items, .. } = &batch.work {
        items.iter().for_each(|item| crash_on(&item.source.sha256));
    }
    let desk = Desk { line: &line, batch: &batch, tasks: &tasks };
    if let Some(null) = &line.null {
        return null::run(desk, null, slot).await;
    }
    match &batch.work {
        Work::Invert { inversion, items } => invert::run(desk, inversion, items, slot).await,
        Work::Train { edit, item } => vec![train::run(desk, edit, item, slot).await],
        Work::Edit { edit, inversion, mapper, items } => {
            edit::run(desk, edit::Asked { edit, inversion, mapper: *mapper }, items, slot).await
        }
    }
}

/// One batch on the line.
#[derive(Clone, Copy)]
struct Desk<'a> {
    line: &'a Line,
    batch: &'a WorkBatch,
    tasks: &'a [Arc<HeldTask>],
}

impl Desk<'_> {
    /// The batch's pack, in its precision. Fetching one takes minutes: a worker that is to end does not wait for it, and the next goes
    /// on with it.
    async fn networks(&self) -> Result<Networks, Ended> {
        tokio::select! {
            biased;
            pack = self.line.packs.pack(&self.batch.pack) => Ok(Networks { pack: pack?, precision: self.batch.precision }),
            () = self.line.drain.begun() => Err(Ended::Yielded(None)),
        }
    }

    /// What an earlier hand-out of this very task has left in the bucket at `object`, if it was handed out before.
    async fn earlier(&self, fence: Fence, object: &str) -> Option<Outcome> {
        if fence.epoch <= 1 {
            return None;
        }
        let outcome = upload::earlier(&self.line.artifacts, object).await?;
        tracing::info!(task = %fence.task, "found the result of an earlier hand-out");
        Some(outcome)
    }

    /// How the item `index` ends before anything is fetched for it: its result is there, at `object`, or it is not to be begun.
    async fn settled(&self, index: usize, fence: Fence, object: &str) -> Option<Told> {
        if let Some(outcome) = self.earlier(fence, object).await {
            return Some(Told { result: Ok(outcome), gpu_ms: 0.0 });
        }
        self.ready(index).err().map(Told::without_work)
    }

    /// Whether the item `index` is still to be begun.
    fn ready(&self, index: usize) -> Result<(), Ended> {
        if self.tasks[index].is_cancelled() {
            return Err(Ended::Cancelled);
        }
        if self.line.drain.is_begun() { Err(Ended::Yielded(None)) } else { Ok(()) }
    }

    /// Gives up the slot for a place among the finishing: the next batch may be taken.
    async fn finish(&self, slot: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        // Closed never; a place that is missing only means less waiting.
        let place = match Arc::clone(&self.line.finishing).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                let _told = self.line.reporter.waiting_for_storage();
                Arc::clone(&self.line.finishing).acquire_owned().await.ok()
            }
        };
        drop(slot);
        place
    }
}

impl Desk<'_> {
    /// Stores the checkpoint of an item that ended without a result, if it left one: what is told then.
    async fn halted(&self, ended: Ended) -> Result<Outcome, Ended> {
        let Ended::Yielded(Some(Halted { checkpoint, done })) = ended else { return Err(ended) };
        let checkpoint = Some(upload::artifact(&self.line.artifacts, checkpoint).await?);
        Ok(Outcome::Yielded { checkpoint, done })
    }
}

/// An item's way through a batch: still on it, or ended with what is told.
enum Way<T> {
    On(T),
    Ended(Told),
}

impl<T> From<Result<T, Ended>> for Way<T> {
    fn from(result: Result<T, Ended>) -> Self {
        match result {
            Ok(value) => Self::On(value),
            Err(ended) => Self::Ended(Told::without_work(ended)),
        }
    }
}

/// Splits a batch into the items still on their way, with their places, and the ends of the others.
fn split<T>(ways: Vec<Way<T>>) -> (Vec<(usize, T)>, Vec<Option<Told>>) {
    let mut on = Vec::new();
    let mut ends = Vec::with_capacity(ways.len());
    for (place, way) in ways.into_iter().enumerate() {
        match way {
            Way::On(value) => {
                on.push((place, value));
                ends.push(None);
            }
            Way::Ended(told) => ends.push(Some(told)),
        }
    }
    (on, ends)
}

/// Puts the ends of the items that stayed on their way back into their places.
fn join(mut ends: Vec<Option<Told>>, finished: impl IntoIterator<Item = (usize, Told)>) -> Vec<Told> {
    finished.into_iter().for_each(|(place, told)| ends[place] = Some(told));
    let missing = || Told::without_work(Ended::internal("an item was lost on its way"));
    ends.into_iter().map(|end| end.unwrap_or_else(missing)).collect()
}

/// The same end for every item.
fn all_ended(count: usize, ended: &Ended) -> Vec<Told> {
    (0..count).map(|_| Told::without_work(ended.clone())).collect()
}

/// An item's share of a batch's tensor time, in milliseconds.
fn share(time: Duration, items: usize) -> f64 {
    // Safe to widen: a count of items.
    time.as_secs_f64() * 1e3 / items.max(1) as f64
}
