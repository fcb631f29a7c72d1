//! `POST /v1/jobs/{id}/tasks/cancel`: ends single tasks; the job goes on.

use super::audit;
use super::extract::{Actor, Json, Project, parse};
use super::job_get::find;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use serde_json::json;
use store::OutboxMessage;
use wire::broker::v1::{Control, Fence};
use wire::http::v1::{CancelTasks, TasksCancelled};

/// Most tasks of one request.
const MOST: usize = 5_000;

/// How many were cancelled. Once this has returned, no result of theirs is committed any more.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Json(asked): Json<CancelTasks>,
) -> Result<axum::Json<TasksCancelled>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    if asked.tasks.is_empty() || asked.tasks.len() > MOST {
        let n = asked.tasks.len();
        return Err(ApiError::InvalidRequest(format!("tasks has {n} entries; give 1 to {MOST}, or cancel the job")));
    }
    if let Some(task) = asked.tasks.iter().find(|task| task.job != row.seq) {
        return Err(ApiError::InvalidRequest(format!("the task {task} is none of the job {}'s", row.id)));
    }
    let nos: Vec<i32> = asked.tasks.iter().map(|task| task.no).collect();
    let done = app.store.cancel_tasks(row.seq, &nos, revoke).await?;
    if let Some(no) = done.trainings.first()
        && done.cancelled == 0
    {
        return Err(ApiError::InvalidRequest(format!(
            "the task {}-{no} trains a mapper that edits wait for; cancel the edits or the job instead",
            row.seq
        )));
    }
    let detail = json!({ "asked": asked.tasks.len(), "cancelled": done.cancelled, "first": asked.tasks[0] });
    audit::note(&app, &actor, "task.cancel", row.id, detail).await?;
    app.wake.relay.notify_one();
    app.wake.settle.notify_one();
    // safe to cast: counts of at most a job's tasks
    Ok(axum::Json(TasksCancelled { cancelled: done.cancelled.cast_signed(), held: done.held.len() as i64 }))
}

/// Tells every worker to drop these hand-outs.
fn revoke(held: &[store::Fence]) -> OutboxMessage {
    let tasks = held.iter().map(|f| Fence { task: f.task, epoch: f.epoch }).collect();
    let control = Control::Revoke { boot: None, tasks };
    // safe because the message holds no map with keys that are not texts
    let payload = serde_json::to_value(&control).expect("a control message has a JSON form");
    OutboxMessage { routing_key: String::new(), payload, traceparent: None }
}
