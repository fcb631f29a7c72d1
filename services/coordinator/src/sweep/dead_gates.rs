//! Ends the edits whose mapper will never be there.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;

/// Tasks of one step.
const SLICE: i64 = 5_000;

/// The loop's body.
pub struct DeadGates {
    /// What it works with.
    pub app: App,
}

impl Reconciler for DeadGates {
    const NAME: &'static str = "dead_gates";
    const EAGER: bool = true;

    async fn run_once(&self) -> Result<u64, LoopError> {
        Ok(self.app.store.dead_gates(SLICE).await?)
    }
}
