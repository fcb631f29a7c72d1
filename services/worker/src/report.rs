//! What this worker says: started, heartbeat, outcomes, goodbye. Everything is confirmed by the broker before it counts.

use crate::device_memory;
use crate::drain::Drain;
use crate::held::Held;
use crate::memory;
use broker::{Message, PublishError, Publisher};
use domain::Reason;
use domain::ids::{BatchId, BootId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use telemetry::crash_point;
use tokio::sync::watch;
use tracing::Instrument as _;
use wire::broker::v1::{DeviceMemory, Fence, FromWorker, Heartbeat, ItemOutcome, Outcome, WaitsFor};

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Identity {
    /// This process start.
    pub boot: BootId,
    /// Host name and process id.
    pub name: String,
    /// Queue class.
    pub class: String,
    /// Device, for people.
    pub device: String,
}

/// The worker's voice; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reporter {
    publisher: Publisher,
    identity: Arc<Identity>,
    device_memory: device_memory::Watched,
    images: Arc<AtomicU64>,
    busy_us: Arc<AtomicU64>,
    /// When this process began to speak, and, in milliseconds since then and one more, when a heartbeat was confirmed last.
    began: Instant,
    heard_ms: Arc<AtomicU64>,
    /// Finished batches that wait for their turn to upload.
    queued_uploads: Arc<AtomicU64>,
}

/// A finished batch that waits for its turn to upload, until dropped.
#[derive(Debug)]
pub struct StorageWait(Arc<AtomicU64>);

impl Drop for StorageWait {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reporter {
    /// Speaks through `publisher`, also of the memory of the device.
    pub fn new(publisher: Publisher, identity: Identity, device_memory: device_memory::Watched) -> Self {
        Self {
            publisher,
            identity: Arc::new(identity),
            device_memory,
            images: Arc::default(),
            busy_us: Arc::default(),
            began: Instant::now(),
            heard_ms: Arc::default(),
            queued_uploads: Arc::default(),
        }
    }

    /// This process start.
    pub fn boot(&self) -> BootId {
        self.identity.boot
    }

    /// The class of queues that it takes work from.
    pub fn class(&self) -> &str {
        &self.identity.class
    }

    /// Adds to the tensor time that heartbeats tell.
    pub fn add_busy(&self, time: Duration) {
        // Safe to narrow: half a million years.
        self.busy_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// For how long no heartbeat was confirmed.
    pub fn unheard(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.heard_ms.load(Ordering::Relaxed)))
    }

    /// Whether a heartbeat was ever confirmed.
    pub fn was_heard(&self) -> bool {
        self.heard_ms.load(Ordering::Relaxed) > 0
    }

    /// Tells, for as long as what is returned lives, that a finished batch waits for the bucket to take those before it.
    pub fn waiting_for_storage(&self) -> StorageWait {
        self.queued_uploads.fetch_add(1, Ordering::Relaxed);
        StorageWait(Arc::clone(&self.queued_uploads))
    }

    /// Says that all of a batch was cancelled and has left the device. Not repeated: it is a measurement.
    pub async fn stopped(&self, tasks: Vec<Fence>, after: Duration, trace: Option<String>) {
        let after_ms = after.as_secs_f64() * 1e3;
        if let Err(error) = self.say(&FromWorker::Stopped { boot: self.boot(), tasks, after_ms }, trace).await {
            tracing::debug!(%error, "it is not told when cancelled work stopped");
        }
    }

    /// Says that a batch is taken.
    ///
    /// # Errors
    /// When the broker did not confirm it.
    pub async fn started(&self, batch: BatchId, tasks: Vec<Fence>, trace: Option<String>) -> Result<(), PublishError> {
        self.say(&FromWorker::Started { boot: self.boot(), batch, tasks }, trace).await
    }

    /// Tells how items ended, and repeats it until the broker confirms: the results are in the bucket, and only this message
    /// is missing. Repeats are harmless to the coordinator.
    pub async fn outcomes(&self, batch: BatchId, items: Vec<ItemOutcome>, trace: Option<String>) {
        if items.is_empty() {
            return;
        }
        for item in &items {
            metrics::counter!("cfx_worker_tasks_total", "outcome" => item.outcome.name()).increment(1);
        }
        let images = items.iter().filter(|item| matches!(item.outcome, Outcome::Edited(_))).count();
        let message = FromWorker::Outcomes { boot: self.boot(), batch, items };
        let mut pause = Duration::from_millis(500);
        while let Err(error) = self.say(&message, trace.clone()).await {
            if let PublishError::TooLarge { bytes, .. } = error
                && let FromWorker::Outcomes { items, .. } = message
            {
                tracing::warn!(%batch, items = items.len(), %error, "outcomes are told in two messages");
                for part in parts(items, bytes) {
                    Box::pin(self.outcomes(batch, part, trace.clone())).await;
                }
                return;
            }
            tracing::warn!(%batch, %error, "an outcome is not confirmed; telling it again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(15));
        }
        crash_point("w.after_publish");
        // Safe to widen: a count of items.
        self.images.fetch_add(images as u64, Ordering::Relaxed);
    }

    /// Sends a heartbeat every `period` for as long as the process lives. One that is lost is not repeated: the next says more.
    /// `ear` is the queue that control messages are heard from.
    pub async fn heartbeats(
        self,
        held: Arc<Held>,
        drain: Drain,
        mut ear: watch::Receiver<Option<String>>,
        period: Duration,
    ) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // The beginning of a drain is told at once, so that the window stops counting this worker.
            tokio::select! {
                _ = ticks.tick() => {}
                () = drain.begun(), if !drain.is_begun() => {}
                // and so is a new queue: a coordinator that looks for the one before would take this worker for dead
                Ok(()) = ear.changed() => {}
            }
            let queue = ear.borrow_and_update().clone();
            let heartbeat = self.heartbeat(&held, &drain, queue);
            metrics::gauge!("cfx_worker_tasks_held").set(heartbeat.running.len() as f64);
            match self.say(&FromWorker::Heartbeat(heartbeat), None).await {
                // Safe to narrow: half a billion years.
                Ok(()) => self.heard_ms.store(self.began.elapsed().as_millis() as u64 + 1, Ordering::Relaxed),
                Err(error) => tracing::debug!(%error, "a heartbeat is lost"),
            }
        }
    }

    fn heartbeat(&self, held: &Held, drain: &Drain, control_queue: Option<String>) -> Heartbeat {
        let Identity { boot, name, class, device } = (*self.identity).clone();
        let memory = memory::of_process();
        let device_memory = self.device_memory.now();
        for (kind, bytes) in [("resident", memory.resident), ("peak", memory.peak)] {
            if let Some(bytes) = bytes {
                metrics::gauge!("cfx_worker_memory_bytes", "kind" => kind).set(bytes as f64);
            }
        }
        if let Some(DeviceMemory { used_bytes, total_bytes }) = device_memory {
            for (kind, bytes) in [("used", used_bytes), ("total", total_bytes)] {
                metrics::gauge!("cfx_worker_device_memory_bytes", "kind" => kind).set(bytes as f64);
            }
        }
        Heartbeat {
            boot,
            name,
            class,
            device,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            draining: drain.is_begun(),
            running: held.progress(),
            images: self.images.load(Ordering::Relaxed),
            busy_ms: self.busy_us.load(Ordering::Relaxed) / 1000,
            waits_for: (self.queued_uploads.load(Ordering::Relaxed) > 0).then_some(WaitsFor::Storage),
            control_queue,
            memory_bytes: memory.resident,
            device_memory,
        }
    }

    /// Says that this process ends by its own will. Not repeated: a goodbye that is lost costs the sweeper's 45 seconds.
    pub async fn goodbye(&self) {
        if let Err(error) = self.say(&FromWorker::Goodbye { boot: self.boot() }, None).await {
            tracing::warn!(%error, "the goodbye is not confirmed");
        }
    }

    async fn say(&self, message: &FromWorker, trace: Option<String>) -> Result<(), PublishError> {
        // Safe because the messages hold no map with keys that are not texts.
        let payload = serde_json::to_vec(message).expect("a broker message has a JSON form");
        let message = Message::outcome(payload);
        let Some(cause) = trace else { return self.publisher.publish(message).await };
        let span = telemetry::traces::sending(message.destination(), Some(&cause));
        let trace = telemetry::traces::context(&span).unwrap_or(cause);
        self.publisher.publish(message.traced(Some(trace))).instrument(span).await
    }
}

/// The halves of outcomes that are too large for one message of `bytes`; one that is too large by itself becomes a failure that says
/// so.
fn parts(mut items: Vec<ItemOutcome>, bytes: usize) -> Vec<Vec<ItemOutcome>> {
    if items.len() > 1 {
        let rest = items.split_off(items.len() / 2);
        return vec![items, rest];
    }
    let detail = format!("its outcome has {bytes} bytes, more than a message may have");
    items.iter_mut().for_each(|item| {
        item.outcome = Outcome::Failed { reason: Reason::Internal, detail: detail.clone() };
    });
    vec![items]
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::TaskId;

    #[test]
    fn outcomes_that_are_too_large_are_halved_and_one_alone_fails_with_its_size() {
        let item = |no| {
            let outcome = Outcome::Yielded { checkpoint: None, done: 0.0 };
            ItemOutcome { fence: Fence { task: TaskId { job: 1, no }, epoch: 1 }, gpu_ms: 0.0, outcome }
        };
        let halves = parts((0..5).map(item).collect(), 9_000_000);
        assert_eq!(halves.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(halves.concat(), (0..5).map(item).collect::<Vec<_>>());
        let alone = parts(vec![item(7)], 9_000_000);
        let Outcome::Failed { reason, detail } = &alone[0][0].outcome else { panic!("{alone:?}") };
        assert_eq!((*reason, alone[0][0].fence.task.no), (Reason::Internal, 7));
        assert!(detail.contains("9000000"), "{detail}");
    }
}
