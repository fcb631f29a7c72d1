//! Takes back what workers hold that were not heard of for too long, are out of reach, ended, or deny holding it.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

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
        let (silence, gone) = (tuning.worker_lost, tuning.worker_gone);
        let applied = self.app.store.lost_workers(silence, gone, SLICE, &tuning.retries()).await?;
        let taken = applied.changed.len() as u64;
        if taken > 0 {
            tracing::warn!(tasks = taken, "tasks were taken back from lost workers");
            self.app.wake.dispatch.notify_one();
        }
        Ok(taken)
    }
}
