//! The only file that acknowledges.
//!
//! A delivery is acknowledged after `Started` is confirmed and before any work is done. If the process dies before the
//! acknowledgement, the broker delivers the batch again, and the coordinator revokes it because its tasks are running already; if
//! it dies after, the coordinator misses its heartbeats. Either way the tasks come back under a new epoch.

use crate::drain::Drain;
use crate::held::{Held, Holding};
use crate::report::Reporter;
use broker::Delivery;
use std::sync::Arc;
use std::time::Duration;
use telemetry::crash_point;
use wire::broker::v1::WorkBatch;

/// A batch that is this worker's to do.
pub struct Taken {
    /// The batch.
    pub batch: WorkBatch,
    /// Its entry among what is held.
    pub holding: Holding,
    /// The trace it belongs to.
    pub trace: Option<String>,
}

/// Says `Started`, then acknowledges. `None` if the batch is not to be done: it is in hand already, or the worker drains before
/// the broker has confirmed `Started` (then the broker keeps it for another).
pub async fn take(delivery: Delivery, held: &Arc<Held>, reporter: &Reporter, drain: &Drain) -> Option<Taken> {
    let trace = delivery.traceparent.clone();
    // Entered first: a revocation that answers `Started` must find it.
    let Some(holding) = held.enter(&delivery.batch) else {
        tracing::info!(batch = %delivery.batch.batch, "a batch in hand was delivered again; taken out of the queue");
        if let Err(error) = delivery.ack().await {
            tracing::debug!(%error, "it will come once more");
        }
        return None;
    };
    let mut pause = Duration::from_millis(200);
    while let Err(error) = reporter.started(delivery.batch.batch, delivery.batch.fences(), trace.clone()).await {
        tracing::warn!(batch = %delivery.batch.batch, %error, "Started is not confirmed; saying it again");
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = drain.begun() => return None }
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    crash_point("w.after_started_confirm");
    let batch = delivery.batch.clone();
    if let Err(error) = delivery.ack().await {
        // Started is said, so the tasks are ours whether or not a copy is still in the queue.
        tracing::warn!(batch = %batch.batch, %error, "running a batch whose acknowledgement was lost");
    }
    crash_point("w.after_ack");
    Some(Taken { batch, holding, trace })
}
