//! Ends jobs that have no unfinished task.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Jobs of one step.
const SLICE: i64 = 50;

/// The loop's body.
pub struct SettleJobs {
    /// What it works with.
    pub app: App,
}

impl Reconciler for SettleJobs {
    const NAME: &'static str = "settle_jobs";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let settled = self.app.store.settle_jobs(SLICE).await?;
        for job in &settled {
            tracing::info!(job = job.job_seq, state = %job.state, "a job ended");
            metrics::counter!("cfx_jobs_ended_total", "state" => job.state.name()).increment(1);
        }
        Ok(settled.len() as u64)
    }
}
