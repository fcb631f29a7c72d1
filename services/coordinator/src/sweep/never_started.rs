//! Makes hand-outs ready again that no worker started: the broker lost the message, or it waits behind long work.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Tasks of one step.
const SLICE: i64 = 1_000;

/// The loop's body.
pub struct NeverStarted {
    /// What it works with.
    pub app: App,
}

impl Reconciler for NeverStarted {
    const NAME: &'static str = "never_started";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let patience = self.app.config.tuning.never_started;
        let taken = self.app.store.never_started(patience, SLICE).await?;
        if taken > 0 {
            tracing::warn!(tasks = taken, "hand-outs that nobody started were taken back");
            self.app.wake.dispatch.notify_one();
        }
        Ok(taken)
    }
}
