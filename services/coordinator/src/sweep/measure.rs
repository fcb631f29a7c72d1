//! Gauges that only the database can tell: workers and hand-outs by class, what waits (the same figures as the view
//! `dash.queue_depth`), the outbox, and whether the broker blocks.

use super::Reconciler;
use crate::app::App;
use crate::error::LoopError;
use chrono::Utc;
use domain::Stage;
use store::QueueDepth;

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
        self.queue_depth().await?;
        let (waiting, oldest) = self.app.store.outbox_depth().await?;
        metrics::gauge!("cfx_outbox_messages").set(waiting as f64);
        // a database whose clock is ahead makes no message younger than new
        let lag = oldest.map_or(0, |since| (Utc::now() - since).num_milliseconds().max(0));
        metrics::gauge!("cfx_outbox_lag_seconds").set(lag as f64 / 1e3);
        let blocked = if self.app.publisher.is_blocked() { 1.0 } else { 0.0 };
        metrics::gauge!("cfx_broker_blocked").set(blocked);
        Ok(0)
    }
}

/// A state by its name, and how many of a queue are in it.
type State = (&'static str, fn(&QueueDepth) -> i64);

impl Measure {
    /// Tasks that wait and the work they are, by stage; a stage without any is zero, not gone.
    async fn queue_depth(&self) -> Result<(), LoopError> {
        let depth = self.app.store.queue_depth().await?;
        for stage in Stage::ALL {
            let of = || depth.iter().filter(|d| d.stage == stage.name());
            let states: [State; 5] = [
                ("ready", |d| d.ready),
                ("blocked", |d| d.blocked),
                ("retrying", |d| d.retrying),
                ("paused", |d| d.paused),
                ("running", |d| d.running),
            ];
            for (state, count) in states {
                let tasks = of().map(count).sum::<i64>() as f64;
                metrics::gauge!("cfx_queue_tasks", "stage" => stage.name(), "state" => state).set(tasks);
            }
            let work: f64 = of().filter_map(|d| d.backlog_gpu_seconds).sum();
            metrics::gauge!("cfx_queue_backlog_gpu_seconds", "stage" => stage.name()).set(work);
        }
        Ok(())
    }
}
