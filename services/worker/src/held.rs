//! What this process holds: every task it said `Started` for, staged or running, with its progress and whether it is still wanted.
//!
//! Written by the tensor thread and the control listener, read by the heartbeat. A batch leaves when its [`Holding`] is dropped,
//! whatever happened to it.

use domain::ids::BatchId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use wire::broker::v1::{Fence, Progress, WorkBatch};

/// One task in hand.
#[derive(Debug)]
pub struct HeldTask {
    /// The task and its epoch.
    pub fence: Fence,
    /// When it was heard that nobody wants it.
    cancelled: OnceLock<Instant>,
    /// Bits of an `f32` in `[0, 1]`.
    done: AtomicU32,
}

impl HeldTask {
    /// A task at its beginning.
    pub fn new(fence: Fence) -> Self {
        Self { fence, cancelled: OnceLock::new(), done: AtomicU32::new(0) }
    }

    /// True once nobody wants its result.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.get().is_some()
    }

    /// When it was heard that nobody wants its result.
    pub fn cancelled_at(&self) -> Option<Instant> {
        self.cancelled.get().copied()
    }

    /// Notes how far it is, 0 to 1.
    pub fn set_done(&self, done: f32) {
        self.done.store(done.to_bits(), Ordering::Relaxed);
    }

    /// How far it is, 0 to 1.
    pub fn done(&self) -> f32 {
        f32::from_bits(self.done.load(Ordering::Relaxed))
    }
}

/// All batches in hand.
#[derive(Debug, Default)]
pub struct Held {
    batches: Mutex<HashMap<BatchId, Vec<Arc<HeldTask>>>>,
}

impl Held {
    /// Enters a batch. `None` if it is in hand already: a redelivery of what this very process runs.
    pub fn enter(self: &Arc<Self>, batch: &WorkBatch) -> Option<Holding> {
        let tasks: Vec<_> = batch.fences().into_iter().map(|fence| Arc::new(HeldTask::new(fence))).collect();
        let mut batches = self.lock();
        if batches.contains_key(&batch.batch) {
            return None;
        }
        batches.insert(batch.batch, tasks.clone());
        Some(Holding { held: Arc::clone(self), batch: batch.batch, tasks })
    }

    /// Every wanted task with its progress.
    pub fn progress(&self) -> Vec<Progress> {
        let batches = self.lock();
        let wanted = batches.values().flatten().filter(|task| !task.is_cancelled());
        let mut progress: Vec<_> = wanted.map(|task| Progress { fence: task.fence, done: task.done() }).collect();
        progress.sort_by_key(|p| p.fence);
        progress
    }

    /// Marks the tasks that `unwanted` picks; says how many.
    pub fn cancel(&self, mut unwanted: impl FnMut(&Fence) -> bool) -> usize {
        let batches = self.lock();
        let picked = batches.values().flatten().filter(|task| unwanted(&task.fence));
        // said twice, the first time counts
        let cancel = |task: &&Arc<HeldTask>| {
            task.cancelled.get_or_init(Instant::now);
        };
        picked.inspect(cancel).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<BatchId, Vec<Arc<HeldTask>>>> {
        // Safe to go on after a panic elsewhere: every change to the map is one call.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A batch in hand, until dropped.
#[derive(Debug)]
pub struct Holding {
    held: Arc<Held>,
    batch: BatchId,
    /// Its tasks, in the order of [`WorkBatch::fences`].
    pub tasks: Vec<Arc<HeldTask>>,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.held.lock().remove(&self.batch);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use domain::ids::{JobId, TaskId};
    use domain::inversion::Inversion;
    use domain::{Digest, StageKey};
    use uuid::Uuid;
    use wire::broker::v1::{InvertItem, PackRef, SourceRef, Work};

    /// A batch of inversions of tasks `job`-0, `job`-1, ... at epoch 3.
    pub fn batch(id: u128, job: i64, tasks: i32) -> WorkBatch {
        let digest = Digest::of("x");
        let item = |no| InvertItem {
            fence: Fence { task: TaskId { job, no }, epoch: 3 },
            key: StageKey(digest),
            source: SourceRef { sha256: digest, uri: "x".into(), ordinal: 0 },
            checkpoint: None,
            framing: Default::default(),
        };
        WorkBatch {
            output: Default::default(),
            precision: Default::default(),
            submitter: None,
            batch: BatchId::from_uuid(Uuid::from_u128(id)),
            job: JobId::from_uuid(Uuid::nil()),
            project: "p".into(),
            dataset: "d".into(),
            pack: PackRef { name: "p".into(), digest, manifest: digest },
            work: Work::Invert { inversion: Inversion::default(), items: (0..tasks).map(item).collect() },
        }
    }

    #[test]
    fn a_batch_is_held_once_and_until_dropped() {
        let held = Arc::new(Held::default());
        let first = held.enter(&batch(1, 7, 2)).unwrap();
        assert!(held.enter(&batch(1, 7, 2)).is_none());
        let second = held.enter(&batch(2, 8, 1)).unwrap();
        first.tasks[1].set_done(0.5);
        let progress: Vec<_> = held.progress().iter().map(|p| (p.fence.task.to_string(), p.done)).collect();
        assert_eq!(progress, [("7-0".into(), 0.0), ("7-1".into(), 0.5), ("8-0".into(), 0.0)]);
        assert_eq!(held.cancel(|fence| fence.task.job == 7), 2);
        assert!(first.tasks[0].is_cancelled() && !second.tasks[0].is_cancelled());
        assert_eq!(held.progress().len(), 1);
        drop(first);
        assert!(held.enter(&batch(1, 7, 2)).is_some());
    }
}
