//! Tasks, one by one.

use domain::{Reason, Stage, TaskId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its stage.
    pub stage: Stage,
    /// The state's name.
    pub state: String,
    /// The edit's slug, for `train` and `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<String>,
    /// The source's URI, for `invert` and `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Hand-outs so far.
    pub epoch: i64,
    /// Failures that were our fault.
    pub attempts: i16,
    /// Failures of the surroundings.
    pub losses: i16,
    /// Why it is dead or waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why it was cancelled by itself: `request` or `deadline`; absent if with its job, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_for: Option<String>,
}

/// Names single tasks of a job, to pause, resume or cancel them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedTasks {
    /// At most 5,000 a request.
    #[schema(min_items = 1, max_items = 5_000)]
    pub tasks: Vec<TaskId>,
}

/// What pausing did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TasksPaused {
    /// Tasks that are paused now: they are not handed out until they are resumed. Tasks that had ended are left as they are.
    pub paused: i64,
    /// Named tasks that workers have: they finish.
    pub held: i64,
}

/// What resuming did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TasksResumed {
    /// Tasks that go on. Tasks that were not paused are left as they are.
    pub resumed: i64,
}

/// What cancelling did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TasksCancelled {
    /// Tasks that are cancelled now, edits included that waited for a cancelled inversion. Tasks that had ended are left as they are.
    pub cancelled: i64,
    /// Those of them that a worker held and was told to drop.
    pub held: i64,
}
