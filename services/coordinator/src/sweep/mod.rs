//! Reconcilers: each a small struct with one idempotent, bounded step that compares what is with what should be, by the
//! database's clock alone. Any number of coordinators may run all of them at once.

use crate::error::LoopError;
use crate::wake;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

mod archive;
mod cancels;
mod dead_gates;
mod deadlines;
mod deltas;
mod due_retries;
mod forget;
mod lineage;
mod lost_workers;
mod measure;
mod never_started;
mod probe;
mod producers;
mod seal_jobs;
mod settle;
mod spare_pods;

pub use archive::Archive;
pub use cancels::CancelSlices;
pub use dead_gates::DeadGates;
pub use deadlines::Deadlines;
pub use deltas::FoldDeltas;
pub use due_retries::DueRetries;
pub use forget::Forget;
pub use lineage::TellLineage;
pub use lost_workers::LostWorkers;
pub use measure::Measure;
pub use never_started::{NeverStarted, Patience};
pub use probe::ProbeWorkers;
pub use producers::RearmProducers;
pub use seal_jobs::SealJobs;
pub use settle::SettleJobs;
pub use spare_pods::SparePods;

/// A loop's body.
pub trait Reconciler: Send + Sync + 'static {
    /// Name in logs and metrics.
    const NAME: &'static str;
    /// Whether a step that changed something is followed by the next one at once: for loops that drain a backlog in slices.
    const EAGER: bool = false;
    /// Longest that a step may take. A statement ends within half a minute by itself, but when a network is cut and the database gives
    /// its end of a connection up meanwhile, nobody tells this end: it would wait for an answer for ever.
    const PATIENCE: Duration = Duration::from_secs(90);

    /// One bounded step; safe to repeat and to run twice at once. Returns how many rows it changed.
    fn run_once(&self) -> impl Future<Output = Result<u64, LoopError>> + Send;
}

/// Runs `reconciler` until `stop`: after every `pause`, sooner when `bell` rings. An error is logged and the next round tries
/// again, later and later up to 30 seconds, so that an absent service is not hammered.
pub async fn run<R: Reconciler>(reconciler: R, pause: Duration, bell: Option<&Notify>, stop: CancellationToken) {
    let mut failures = 0_u32;
    loop {
        let began = std::time::Instant::now();
        let step = tokio::time::timeout(R::PATIENCE, reconciler.run_once()).await;
        let step = step.unwrap_or(Err(LoopError::Stuck(R::PATIENCE)));
        metrics::histogram!("cfx_loop_duration_seconds", "loop" => R::NAME).record(began.elapsed().as_secs_f64());
        let again = match step {
            Ok(changed) => {
                failures = 0;
                if changed > 0 {
                    metrics::counter!("cfx_loop_changed_total", "loop" => R::NAME).increment(changed);
                    tracing::debug!(name = R::NAME, changed, "a loop changed rows");
                }
                R::EAGER && changed > 0
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                metrics::counter!("cfx_loop_errors_total", "loop" => R::NAME).increment(1);
                tracing::warn!(name = R::NAME, failures, error = error.chain(), "a loop failed and will try again");
                false
            }
        };
        if stop.is_cancelled() {
            return;
        }
        if again {
            tokio::task::yield_now().await;
            continue;
        }
        let back_off =
            pause.max(Duration::from_millis(200)).saturating_mul(1 << failures.min(8)).min(Duration::from_secs(30));
        let (bell, longest) = if failures == 0 { (bell, pause) } else { (None, back_off) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wake::wait(bell, longest) => {}
        }
    }
}
