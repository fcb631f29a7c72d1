//! How far a job is, and why it does not go on.

use chrono::{DateTime, Utc};
use domain::Stage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a job is, from rollups: never a count of tasks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Stages that have tasks, in order.
    pub stages: Vec<StageProgress>,
    /// GPU-seconds spent on hand-outs that ended, repeats and failures included.
    pub gpu_seconds_spent: f64,
    /// GPU-seconds that results of other jobs saved.
    pub gpu_seconds_saved: f64,
    /// The time left: what is left to be done over the smoothed effective rate. Absent while nothing is known, and while it stands
    /// still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Eta>,
    /// Why it does not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Stall>,
}

/// Where the tasks of one stage stand.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StageProgress {
    /// The stage.
    pub stage: Stage,
    /// All tasks.
    pub total: i64,
    /// Succeeded.
    pub done: i64,
    /// With workers.
    pub running: i64,
    /// Could be handed out.
    pub ready: i64,
    /// Waiting for an earlier stage.
    pub blocked: i64,
    /// In back-off after a failure.
    pub retrying: i64,
    /// Held back by a user.
    #[serde(default)]
    pub paused: i64,
    /// Given up.
    pub dead: i64,
    /// Cancelled.
    pub cancelled: i64,
    /// Succeeded per minute, smoothed over a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<f64>,
    /// Learnt GPU-seconds of one task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_gpu_seconds: Option<f64>,
}

/// The time left in seconds, with a band of one standard deviation of the rate.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Eta {
    /// By the smoothed rate.
    pub seconds: f64,
    /// If it goes on faster.
    pub low: f64,
    /// If it goes on slower.
    pub high: f64,
}

/// Why a job does not go on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stall {
    /// Stable: `paused`, `deadline`, `budget`, `quota`, `job_concurrency`, `project_concurrency`, `job_rate_limit`,
    /// `project_rate_limit`, `broker_blocked`, `no_workers`, `storage_slow`, `training`, `turn`, `retry_backoff` or `other_job`.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
    /// When it goes on by itself, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}
