//! Cancels the tasks of cancelled jobs, slice by slice. No result of such a job is accepted from the moment of the cancel on.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Tasks of one step.
const SLICE: i64 = 10_000;

/// The loop's body.
pub struct CancelSlices {
    /// What it works with.
    pub app: App,
}

impl Reconciler for CancelSlices {
    const NAME: &'static str = "cancel_slices";
    const EAGER: bool = true;

    async fn run_once(&self) -> Result<u64, LoopError> {
        Ok(self.app.store.cancel_tasks_slice(SLICE).await?)
    }
}
