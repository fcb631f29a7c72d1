//! Gives a new producer to keys that tasks wait for and nobody produces any more, and forgets those nobody waits for.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Keys of one step.
const SLICE: u32 = 100;

/// The loop's body.
pub struct RearmProducers {
    /// What it works with.
    pub app: App,
}

impl Reconciler for RearmProducers {
    const NAME: &'static str = "rearm_producers";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let rearmed = self.app.store.rearm_producers(SLICE).await?;
        if rearmed.rearmed > 0 {
            tracing::info!(keys = rearmed.rearmed, "stages got a new producer");
            self.app.wake.dispatch.notify_one();
        }
        Ok(rearmed.rearmed + rearmed.forgotten)
    }
}
