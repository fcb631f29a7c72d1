//! Workers of this process: they speak the protocol and sleep instead of computing, so that many fit on one machine.

use broker::{BrokerConfig, Message, Publisher, WorkQueue};
use domain::{BootId, Digest};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use wire::broker::v1::{FromWorker, Heartbeat, ItemOutcome, Outcome, Work};

/// What an item takes.
pub const PAUSE: Duration = Duration::from_millis(50);
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Running workers; they end when this is dropped.
pub struct Simulated {
    done: Arc<AtomicU64>,
    publisher: Publisher,
    boots: Vec<BootId>,
    workers: JoinSet<()>,
}

impl Simulated {
    /// Starts `count` workers of the class `class`, each with a connection of its own for taking work, that take `pause` for an item.
    pub fn start(broker_url: &str, class: &str, count: usize, pause: Duration) -> Self {
        let publisher = Publisher::start(BrokerConfig::new(broker_url, "scale"));
        let done = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        let boots: Vec<BootId> = (0..count).map(|_| BootId::from_uuid(uuid::Uuid::new_v4())).collect();
        for boot in boots.iter().copied() {
            workers.spawn(beat(publisher.clone(), boot, class.to_owned()));
            let queue = WorkQueue::new(BrokerConfig::new(broker_url, "scale"), class);
            workers.spawn(work(publisher.clone(), boot, queue, Arc::clone(&done), pause));
        }
        Self { done, publisher, boots, workers }
    }

    /// Items whose outcome the broker has confirmed.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends them, and says so: what they held goes to others, and nothing more is sent to their class.
    pub async fn stop(mut self) {
        self.workers.shutdown().await;
        for boot in &self.boots {
            say(&self.publisher, &FromWorker::Goodbye { boot: *boot }).await;
        }
    }
}

async fn say(publisher: &Publisher, message: &FromWorker) -> bool {
    match serde_json::to_vec(message) {
        Ok(payload) => publisher.publish(Message::outcome(payload)).await.is_ok(),
        Err(_) => false,
    }
}

async fn beat(publisher: Publisher, boot: BootId, class: String) {
    let message = FromWorker::Heartbeat(Heartbeat {
        boot,
        name: format!("simulated {boot}"),
        class,
        device: "none (simulated)".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        draining: false,
        running: Vec::new(),
        images: 0,
        busy_ms: 0,
        waits_for: None,
        memory_bytes: None,
        device_memory: None,
        control_queue: None,
    });
    loop {
        say(&publisher, &message).await;
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Takes batches of inversions, one after the other. A training is taken and left: it keeps the gate of the job's edits shut, so
/// that inversions are all there is to do.
async fn work(publisher: Publisher, boot: BootId, mut queue: WorkQueue, done: Arc<AtomicU64>, pause: Duration) {
    loop {
        let Ok(batch) = queue.next().await.ack().await else { continue };
        let Work::Invert { items, .. } = &batch.work else { continue };
        say(&publisher, &FromWorker::Started { boot, batch: batch.batch, tasks: batch.fences() }).await;
        let mut told = Vec::with_capacity(items.len());
        for item in items {
            tokio::time::sleep(pause).await;
            let outcome = Outcome::Stored { key: item.key, artifact: Digest::of("simulated") };
            told.push(ItemOutcome { fence: item.fence, gpu_ms: pause.as_secs_f64() * 1e3, outcome });
        }
        let n = told.len() as u64;
        if say(&publisher, &FromWorker::Outcomes { boot, batch: batch.batch, items: told }).await {
            done.fetch_add(n, Ordering::Relaxed);
        }
    }
}
