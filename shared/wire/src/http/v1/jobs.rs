//! Jobs, their counts, and what is asked of them.

use super::Progress;
use chrono::{DateTime, Utc};
use domain::accept::RejectReason;
use domain::job::JobSpec;
use domain::job_state::JobState;
use domain::{JobId, Limits, Reason, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A job with its counts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its sequence number, the first half of its tasks' ids.
    pub seq: i64,
    /// What was asked.
    pub spec: JobSpec,
    /// Where it stands.
    pub state: JobState,
    /// Task counts by stage and state.
    pub counts: Vec<Count>,
    /// Failures by reason.
    pub reasons: Vec<ReasonCount>,
    /// What came of each edit, in the order of the specification.
    #[serde(default)]
    pub edits: Vec<EditYield>,
    /// What its owner should know about the specification, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Milliseconds of tensor work spent on its results.
    pub gpu_ms: f64,
    /// Tasks that were not run because their result was already there.
    pub memoised: i64,
    /// What it may take at most, as it stands now.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Rates, time left, and why it stands still; only where one job is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// Tasks in `state` over all stages (or one).
    pub fn count(&self, stage: Option<Stage>, state: &str) -> i64 {
        self.counts.iter().filter(|c| c.state == state && stage.is_none_or(|s| s == c.stage)).map(|c| c.tasks).sum()
    }

    /// All tasks.
    pub fn total(&self) -> i64 {
        self.counts.iter().map(|c| c.tasks).sum()
    }
}

/// What came of one edit: how many of its images hold as counterfactuals.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct EditYield {
    /// The edit's slug.
    pub edit: String,
    /// The method's name.
    pub method: String,
    /// Images made.
    pub succeeded: i64,
    /// Those that meet every rule of acceptance.
    pub accepted: i64,
    /// Those that miss one.
    pub rejected: i64,
    /// Those to which no rule applies.
    pub unjudged: i64,
    /// Accepted yield: accepted of those judged, 0 to 1; absent while none is.
    #[serde(rename = "yield", default, skip_serializing_if = "Option::is_none")]
    pub accepted_yield: Option<f64>,
    /// Rejected images by reason; one with several reasons counts under each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<RejectReason, i64>,
}

/// Tasks of one stage in one state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// The stage.
    pub stage: Stage,
    /// The state's name.
    pub state: String,
    /// How many.
    pub tasks: i64,
}

/// Dead tasks of one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub tasks: i64,
}

/// Asks for dead tasks to be tried again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Only tasks dead for this reason.
    pub reason: Option<Reason>,
    /// Count, change nothing.
    pub dry_run: bool,
}

/// What a retry did or would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Retried {
    /// Tasks.
    pub tasks: i64,
    /// The same by the reason they were dead for.
    #[serde(default)]
    pub reasons: Vec<ReasonCount>,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Changes a job's limits. What is absent stays; 0 takes a limit away.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetLimits {
    /// Batches with workers at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_concurrent: Option<u32>,
    /// GPU-seconds after which nothing more is handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub budget_gpu_seconds: Option<f64>,
    /// Tasks handed out per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub tasks_per_minute: Option<f64>,
    /// When what was not begun is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// Takes the deadline away.
    pub no_deadline: bool,
    /// Higher goes first within the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -32_768, maximum = 32_767)]
    pub priority: Option<i16>,
}

/// What a job may take at most, as it stands now, and its priority.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobLimits {
    /// The limits; those that are absent are not set.
    #[serde(default)]
    pub limits: Limits,
    /// Higher goes first within the project.
    pub priority: i16,
}
