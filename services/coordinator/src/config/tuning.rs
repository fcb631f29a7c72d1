//! Sizes and paces of the loops: the table `[tuning]` of the settings file.

use crate::duration;
use domain::RetryPolicy;
use serde::Deserialize;
use std::time::Duration;

/// Sizes and paces of the loops. Tests shorten the times; nothing depends on them but latency.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Rows per enqueue transaction: large enough for COPY to pay, small enough that a commit takes about a second.
    pub slice_rows: usize,
    /// Batches per live worker slot kept outside Postgres. Two keep a worker busy while the next one travels; the third
    /// covers a slow round trip. More would only make pause, cancel and fairness slower.
    pub window: u32,
    /// Slots of one worker: one batch on the GPU. What it stages beyond that comes out of the window.
    pub slots_per_worker: u32,
    /// Sources per inversion batch.
    pub batch_invert: u32,
    /// Latents per batch of a method that needs one forward pass each.
    pub batch_mapper: u32,
    /// Latents per batch of a method that optimises each of them.
    pub batch_optimise: u32,
    /// Where the three sizes above take less of a worker's time than this, by what such work has cost, batches are larger: cheap
    /// tasks are not to cost more on their way than on the device. Short enough for a pause or a fair share to show soon.
    #[serde(deserialize_with = "duration::deserialize")]
    pub batch_time: Duration,
    /// Most tasks of such a batch.
    pub batch_most: u32,
    /// Work messages in the outbox from which on nothing more is handed out: far more than the relay ever leaves behind, and far fewer
    /// than would take long to send once the broker is back.
    pub outbox_bound: i64,
    /// Longest wait of the dispatcher, relay and enqueuer when nobody wakes them.
    #[serde(deserialize_with = "duration::deserialize")]
    pub poll: Duration,
    /// Pace of the reconcilers.
    #[serde(deserialize_with = "duration::deserialize")]
    pub sweep: Duration,
    /// A worker unseen for this long is lost: four heartbeats and a half.
    #[serde(deserialize_with = "duration::deserialize")]
    pub worker_lost: Duration,
    /// A worker whose connection to RabbitMQ has been gone for this long is lost too: one that lives connects again sooner.
    #[serde(deserialize_with = "duration::deserialize")]
    pub worker_gone: Duration,
    /// A hand-out that no worker started for this long is made ready again. That costs nothing but a void message, should the
    /// first one still arrive, and it is how long a broker that lost its queues delays a job.
    #[serde(deserialize_with = "duration::deserialize")]
    pub never_started: Duration,
    /// Longest pause before a failed task is tried again; the first is a second at most, and the ceiling doubles.
    #[serde(deserialize_with = "duration::deserialize")]
    pub retry_cap: Duration,
    /// Attempt rows older than this are dropped.
    #[serde(deserialize_with = "duration::deserialize")]
    pub keep_attempts: Duration,
    /// Tasks of jobs that ended longer ago than this are dropped, 64 jobs at a time; their results and records stay. Absent: never,
    /// because nothing brings them back.
    #[serde(deserialize_with = "duration::deserialize_some")]
    pub keep_tasks: Option<Duration>,
    /// Whether ended jobs are sealed.
    pub seal: bool,
    /// After the first signal, loops get this long to finish their step.
    #[serde(deserialize_with = "duration::deserialize")]
    pub shutdown: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            slice_rows: 50_000,
            window: 3,
            slots_per_worker: 1,
            batch_invert: 16,
            batch_mapper: 16,
            batch_optimise: 8,
            batch_time: Duration::from_secs(2),
            batch_most: 64,
            outbox_bound: 1_000,
            poll: Duration::from_millis(500),
            sweep: Duration::from_secs(1),
            worker_lost: Duration::from_secs(45),
            worker_gone: Duration::from_secs(3),
            never_started: Duration::from_secs(180),
            retry_cap: RetryPolicy::default().cap,
            keep_attempts: Duration::from_secs(7 * 86_400),
            keep_tasks: None,
            seal: true,
            shutdown: Duration::from_secs(20),
        }
    }
}

impl Tuning {
    /// How often and how soon failed tasks are tried again.
    pub fn retries(&self) -> RetryPolicy {
        RetryPolicy { cap: self.retry_cap, ..RetryPolicy::default() }
    }
}
