//! Gauges that only the database can tell: workers and hand-outs by class, what waits in the outbox, and
//! whether the broker blocks.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use domain::Stage;

/// The loop's body. It changes nothing.
pub struct Measure {
    /// What it works with.
    pub app: App,
}

impl Reconciler for Measure {
    const NAME: &'static str = "measure";

    async fn run_once(&self) -> Result<u64, LoopError> {
        for window in self.app.store.window_state().await? {
            metrics::gauge!("cfx_workers", "class" => window.class.clone()).set(window.workers as f64);
            for stage in Stage::ALL {
                let batches = window.in_flight.get(&stage).copied().unwrap_or(0) as f64;
                let class = window.class.clone();
                metrics::gauge!("cfx_batches_in_flight", "class" => class, "stage" => stage.name()).set(batches);
            }
        }
        let (waiting, _) = self.app.store.outbox_depth().await?;
        metrics::gauge!("cfx_outbox_depth").set(waiting as f64);
        let blocked = if self.app.publisher.is_blocked() { 1.0 } else { 0.0 };
        metrics::gauge!("cfx_broker_blocked").set(blocked);
        Ok(0)
    }
}
