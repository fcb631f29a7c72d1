//! What this worker says: started, heartbeat, outcomes, goodbye. Everything is confirmed by the broker before it counts.

use crate::drain::Drain;
use crate::held::Held;
use broker::{Message, PublishError, Publisher};
use domain::ids::{BatchId, BootId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telemetry::crash_point;
use wire::broker::v1::{Fence, FromWorker, Heartbeat, ItemOutcome, Outcome};

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
    images: Arc<AtomicU64>,
    busy_us: Arc<AtomicU64>,
}

impl Reporter {
    /// Speaks through `publisher`.
    pub fn new(publisher: Publisher, identity: Identity) -> Self {
        let (images, busy_us) = (Arc::default(), Arc::default());
        Self { publisher, identity: Arc::new(identity), images, busy_us }
    }

    /// This process start.
    pub fn boot(&self) -> BootId {
        self.identity.boot
    }

    /// Adds to the tensor time that heartbeats tell.
    pub fn add_busy(&self, time: Duration) {
        // Safe to narrow: half a million years.
        self.busy_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
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
        let images = items.iter().filter(|item| matches!(item.outcome, Outcome::Edited(_))).count();
        let message = FromWorker::Outcomes { boot: self.boot(), batch, items };
        let mut pause = Duration::from_millis(500);
        while let Err(error) = self.say(&message, trace.clone()).await {
            tracing::warn!(%batch, %error, "an outcome is not confirmed; telling it again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(15));
        }
        crash_point("w.after_publish");
        // Safe to widen: a count of items.
        self.images.fetch_add(images as u64, Ordering::Relaxed);
    }

    /// Sends a heartbeat every `period` for as long as the process lives. One that is lost is not repeated: the next says more.
    pub async fn heartbeats(self, held: Arc<Held>, drain: Drain, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // The beginning of a drain is told at once, so that the window stops counting this worker.
            tokio::select! {
                _ = ticks.tick() => {}
                () = drain.begun(), if !drain.is_begun() => {}
            }
            if let Err(error) = self.say(&FromWorker::Heartbeat(self.heartbeat(&held, &drain)), None).await {
                tracing::debug!(%error, "a heartbeat is lost");
            }
        }
    }

    fn heartbeat(&self, held: &Held, drain: &Drain) -> Heartbeat {
        let Identity { boot, name, class, device } = (*self.identity).clone();
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
        self.publisher.publish(Message::outcome(payload).traced(trace)).await
    }
}
