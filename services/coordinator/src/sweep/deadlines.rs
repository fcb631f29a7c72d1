//! Cancels, slice by slice, what jobs past their deadline have not begun.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Tasks of one step.
const SLICE: i64 = 10_000;

/// The loop's body.
pub struct Deadlines {
    /// What it works with.
    pub app: App,
}

impl Reconciler for Deadlines {
    const NAME: &'static str = "deadlines";
    const EAGER: bool = true;

    async fn run_once(&self) -> Result<u64, LoopError> {
        let expired = self.app.store.expire_slice(SLICE).await?;
        if let Some(job) = expired.job_seq {
            tracing::info!(job, tasks = expired.tasks, "tasks of a job past its deadline were cancelled");
            self.app.wake.settle.notify_one();
        }
        Ok(expired.tasks)
    }
}
