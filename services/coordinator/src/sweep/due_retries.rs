//! Makes tasks ready again whose back-off has passed.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Tasks of one step.
const SLICE: i64 = 5_000;

/// The loop's body.
pub struct DueRetries {
    /// What it works with.
    pub app: App,
}

impl Reconciler for DueRetries {
    const NAME: &'static str = "due_retries";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let due = self.app.store.due_retries(SLICE).await?;
        if due > 0 {
            self.app.wake.dispatch.notify_one();
        }
        Ok(due)
    }
}
