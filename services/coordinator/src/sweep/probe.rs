//! Looks whether workers are still connected, so that the work of a process that died comes back in seconds and not after 45 s of
//! silence: RabbitMQ hands a message to the queue of a worker's connection, or returns it because there is none.
//!
//! A machine that vanishes closes no connection: RabbitMQ notices it by its own heartbeats, and silence may be quicker.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use broker::{Message, PublishError};
use std::time::Duration;
use wire::broker::v1::Control;

/// The loop's body.
pub struct ProbeWorkers {
    /// What it works with.
    pub app: App,
    /// How long the own connection must have been up before a missing queue says anything. A broker that has just come back has
    /// nobody's queues.
    pub settled: Duration,
}

impl ProbeWorkers {
    /// Workers connect again after pauses of at most ten seconds.
    pub const SETTLED: Duration = Duration::from_secs(15);
}

impl Reconciler for ProbeWorkers {
    const NAME: &'static str = "probe_workers";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let publisher = &self.app.publisher;
        let settled = || publisher.connected_for().is_some_and(|time| time >= self.settled);
        if !settled() || publisher.is_blocked() {
            return Ok(0);
        }
        let queues = self.app.store.control_queues().await?;
        // safe because the message holds no map
        let payload = serde_json::to_vec(&Control::Probe).expect("a broker message has a JSON form");
        let probes = queues.iter().map(|queue| Message::to_worker(queue, payload.clone())).collect();
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for (queue, result) in queues.into_iter().zip(publisher.publish_many(probes).await) {
            match result {
                Ok(()) => there.push(queue),
                Err(PublishError::Unroutable { .. }) => missing.push(queue),
                // says nothing of the worker
                Err(_) => {}
            }
        }
        if settled() {
            self.app.store.note_reachable(&there, &missing).await?;
        }
        Ok(missing.len() as u64)
    }
}
