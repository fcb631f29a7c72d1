//! Folds deltas of counts, verdicts and scores into the rollups, learns costs from outcomes and smooths rates: one leader at a time, whose epoch guards each fold.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use std::time::Duration;

/// Name of the lease.
const LEADERSHIP: &str = "fold_deltas";
/// Deltas of one step.
const SLICE: i64 = 20_000;

/// The loop's body.
pub struct FoldDeltas {
    /// What it works with.
    pub app: App,
}

impl Reconciler for FoldDeltas {
    const NAME: &'static str = "fold_deltas";

    async fn run_once(&self) -> Result<u64, LoopError> {
        let ttl = (self.app.config.tuning.sweep * 5).max(Duration::from_secs(5));
        let Some(epoch) = self.app.store.acquire(LEADERSHIP, &self.app.holder, ttl).await? else { return Ok(0) };
        let counts = self.app.store.fold_deltas(LEADERSHIP, epoch, SLICE).await?;
        let verdicts = self.app.store.fold_verdicts(LEADERSHIP, epoch, SLICE).await?;
        let metrics = self.app.store.fold_metrics(LEADERSHIP, epoch, SLICE).await?;
        let costs = self.app.store.fold_costs(LEADERSHIP, epoch, SLICE).await?;
        // after the fold, which it looks at; not counted, because it changes something at every look
        self.app.store.tick_rates(LEADERSHIP, epoch).await?;
        Ok(counts + verdicts + metrics + costs)
    }
}
