//! Drops what is kept for a while only: old attempts, batches, workers, and messages whose batch was taken back.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use std::time::Duration;

/// Rows of one step, of each kind.
const SLICE: i64 = 5_000;
/// A message that could not be published for this long, and whose batch was taken back, speaks to nobody.
const MESSAGES_KEPT: Duration = Duration::from_secs(300);

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
        let messages = store.stale_outbox(MESSAGES_KEPT, SLICE).await?;
        Ok(attempts + batches + workers + messages)
    }
}
