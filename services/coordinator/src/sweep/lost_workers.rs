//! Takes back what workers hold that were not heard of for too long, ended, or deny holding it.

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
        let silence = self.app.config.tuning.worker_lost;
        let retries = self.app.config.tuning.retries();
        let applied = self.app.store.lost_workers(silence, SLICE, &retries).await?;
        let taken = applied.changed.len() as u64;
        if taken > 0 {
            tracing::warn!(tasks = taken, "tasks were taken back from lost workers");
            self.app.wake.dispatch.notify_one();
        }
        Ok(taken)
    }
}
