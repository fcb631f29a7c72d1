//! Tells an OpenLineage endpoint, where one is set, of jobs that begin and end. One leader at a time, in the order of jobs; an endpoint
//! that is away holds nobody up but this loop, which goes on where it was.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use crate::lineage::{LineageError, Teller};
use domain::Stage;
use serde_json::Value;
use std::time::Duration;
use store::Phase;

/// Name of the lease.
const LEADERSHIP: &str = "lineage";
/// Longer than a step of events that all run into their time limit, so that nobody else begins meanwhile.
const LEASE: Duration = Duration::from_secs(300);
/// Jobs of one step, of each kind.
const SLICE: i64 = 10;

/// The loop's body.
pub struct TellLineage {
    /// What it works with.
    pub app: App,
    /// The endpoint.
    pub teller: Teller,
}

impl TellLineage {
    /// An event that will never be taken is told to the log and left, or it would hold up all that follow.
    async fn tell(&self, job: i64, event: &Value) -> Result<(), LoopError> {
        match self.teller.send(event).await {
            Err(error @ LineageError::Refused(_)) => {
                metrics::counter!("cfx_lineage_refused_total").increment(1);
                tracing::error!(job, %error, "an OpenLineage event is left out");
                Ok(())
            }
            sent => Ok(sent?),
        }
    }
}

impl Reconciler for TellLineage {
    const NAME: &'static str = "lineage";
    const EAGER: bool = true;
    /// Each event waits for its endpoint.
    const PATIENCE: Duration = Duration::from_secs(300);

    async fn run_once(&self) -> Result<u64, LoopError> {
        let App { store, holder, .. } = &self.app;
        if store.acquire(LEADERSHIP, holder, LEASE).await?.is_none() {
            return Ok(0);
        }
        let mut told = 0;
        for job in store.untold_starts(SLICE).await? {
            self.tell(job.seq, &self.teller.start(&job)).await?;
            store.start_told(job.seq).await?;
            told += 1;
        }
        for job in store.untold_ends(SLICE).await? {
            let Some(at) = job.finished_at else { continue };
            let counts = store.counts(job.seq).await?;
            let made = counts.iter().filter(|c| c.stage == Stage::Edit && c.phase == Phase::Succeeded);
            self.tell(job.seq, &self.teller.end(&job, at, made.map(|c| c.n).sum())).await?;
            store.end_told(job.seq, at).await?;
            told += 1;
        }
        Ok(told)
    }
}
