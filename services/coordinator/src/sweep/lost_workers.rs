//! Takes back what workers hold that were not heard of for too long, are out of reach, ended, or deny holding it.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use std::time::Duration;

/// Longer than any worker lives.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Tasks of one step.
const SLICE: i64 = 1_000;

/// The loop's body.
pub struct LostWorkers {
    /// What it works with.
    pub app: App,
}

impl Reconciler for LostWorkers {
    const NAME: &'static str = "lost_workers";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let tuning = &self.app.config.tuning;
        // silence counts only for as long as somebody listened: after an outage of the broker, or of this process when it is the only
        // one, every worker seems to have been silent, and its heartbeats are still in the queue
        let listened = self.app.listening.get().is_some_and(|time| time > tuning.worker_lost);
        let silence = if listened { tuning.worker_lost } else { NEVER };
        let gone = tuning.worker_gone;
        let applied = self.app.store.lost_workers(silence, gone, SLICE, &tuning.retries()).await?;
        let taken = applied.changed.len() as u64;
        if taken > 0 {
            tracing::warn!(tasks = taken, "tasks were taken back from lost workers");
            self.app.wake.dispatch.notify_one();
        }
        Ok(taken)
    }
}
