//! Drops what is kept for a while only: old attempts, batches, workers, sessions of the dashboard, answers to repeated requests, messages whose batch was taken back, and, where that is
//! asked for, the tasks of old jobs.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use std::time::Duration;

/// Rows of one step, of each kind.
const SLICE: i64 = 5_000;
/// A message that could not be published for this long, and whose batch was taken back, speaks to nobody.
const MESSAGES_KEPT: Duration = Duration::from_secs(300);

/// Histograms of how long stages take are small, and say how it was before.
const HOURS_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// Ten seconds' worth of tasks, one at least: at the slowest rate that makes sense, one task in a day.
const BUCKETS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The loop's body.
pub struct Forget {
    /// What it works with.
    pub app: App,
}

impl Reconciler for Forget {
    const NAME: &'static str = "forget";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let store = &self.app.store;
        let keep = self.app.config.tuning.keep_attempts;
        let attempts = store.old_attempts(keep, SLICE).await?;
        let batches = store.old_batches(keep, SLICE).await?;
        let workers = store.old_workers(keep, SLICE).await?;
        let buckets = store.full_buckets(keep.max(BUCKETS_KEPT), SLICE).await?;
        let figures = store.old_figures(keep, HOURS_KEPT, SLICE).await?;
        let sessions = store.ended_sessions(SLICE).await?;
        let answers = store.old_answers(SLICE).await?;
        let messages = store.stale_outbox(MESSAGES_KEPT, SLICE).await?;
        let forgotten = match self.app.config.tuning.keep_tasks {
            Some(keep) => store.forget_tasks(keep).await?,
            None => 0,
        };
        if forgotten > 0 {
            tracing::info!(jobs = forgotten, "the tasks of old jobs were dropped");
        }
        Ok(attempts + batches + workers + buckets + figures + sessions + answers + messages + forgotten)
    }
}
