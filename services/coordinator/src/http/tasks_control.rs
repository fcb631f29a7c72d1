//! `POST /v1/jobs/{id}/tasks/pause|resume|cancel`: holds back, lets go and ends single tasks; the job goes on.

use super::audit;
use super::extract::{Actor, Json, Project, parse};
use super::job_get::find;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use domain::{JobId, ProjectId};
use serde_json::json;
use store::{JobRow, OutboxMessage};
use wire::broker::v1::{Control, Fence};
use wire::http::v1::{NamedTasks, Problem, TasksCancelled, TasksPaused, TasksResumed};

/// Most tasks of one request.
const MOST: usize = 5_000;

/// How many were paused: they are not handed out until they are resumed.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/tasks/pause",
    operation_id = "pause_tasks",
    tag = "tasks",
    params(("id" = JobId, Path, description = "The job.")),
    request_body = NamedTasks,
    responses((status = 200, description = "How many are paused.", body = TasksPaused),
        (status = 409, description = "The state of the job does not accept it.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn pause(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Json(asked): Json<NamedTasks>,
) -> Result<axum::Json<TasksPaused>, ApiError> {
    let (row, nos) = named(&app, project, &id, &asked).await?;
    let done = app.store.pause_tasks(row.seq, &nos).await?;
    let detail = json!({ "asked": nos.len(), "paused": done.paused, "first": asked.tasks[0] });
    audit::note(&app, &actor, "task.pause", row.id, detail).await?;
    // safe to cast, here and below: counts of at most a job's tasks
    Ok(axum::Json(TasksPaused { paused: done.paused.cast_signed(), held: done.held.cast_signed() }))
}

/// How many go on.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/tasks/resume",
    operation_id = "resume_tasks",
    tag = "tasks",
    params(("id" = JobId, Path, description = "The job.")),
    request_body = NamedTasks,
    responses((status = 200, description = "How many go on.", body = TasksResumed),
        (status = 409, description = "The state of the job does not accept it.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn resume(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Json(asked): Json<NamedTasks>,
) -> Result<axum::Json<TasksResumed>, ApiError> {
    let (row, nos) = named(&app, project, &id, &asked).await?;
    let resumed = app.store.resume_tasks(row.seq, &nos).await?;
    let detail = json!({ "asked": nos.len(), "resumed": resumed, "first": asked.tasks[0] });
    audit::note(&app, &actor, "task.resume", row.id, detail).await?;
    app.wake.dispatch.notify_one();
    Ok(axum::Json(TasksResumed { resumed: resumed.cast_signed() }))
}

/// The job, and the numbers of its tasks that are named.
async fn named(app: &App, project: ProjectId, id: &str, asked: &NamedTasks) -> Result<(JobRow, Vec<i32>), ApiError> {
    let row = find(app, project, parse(id)?).await?;
    if asked.tasks.is_empty() || asked.tasks.len() > MOST {
        let n = asked.tasks.len();
        return Err(ApiError::InvalidRequest(format!("tasks has {n} entries; give 1 to {MOST}, or name the job")));
    }
    if let Some(task) = asked.tasks.iter().find(|task| task.job != row.seq) {
        return Err(ApiError::InvalidRequest(format!("the task {task} is none of the job {}'s", row.id)));
    }
    let nos = asked.tasks.iter().map(|task| task.no).collect();
    Ok((row, nos))
}

/// How many were cancelled. Once this has returned, no result of theirs is committed any more.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/tasks/cancel",
    operation_id = "cancel_tasks",
    tag = "tasks",
    params(("id" = JobId, Path, description = "The job.")),
    request_body = NamedTasks,
    responses((status = 200, description = "How many are cancelled.", body = TasksCancelled),
        (status = 409, description = "The state of the job does not accept it.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn cancel(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Json(asked): Json<NamedTasks>,
) -> Result<axum::Json<TasksCancelled>, ApiError> {
    let (row, nos) = named(&app, project, &id, &asked).await?;
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
