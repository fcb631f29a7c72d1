//! `POST /v1/jobs/{id}/pause`, `resume` and `cancel`. Repeating one is not an error.

use super::audit;
use super::extract::{Actor, Project, parse};
use super::job_get::{detailed, find};
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::job_state::JobEvent;
use domain::{JobId, ProjectId};
use serde_json::json;
use store::OutboxMessage;
use wire::broker::v1::Control;
use wire::http::v1::{Job, Problem};

/// The job after the event. Once a cancel has returned, no result of the job is committed any more; workers are told in the
/// same transaction.
pub async fn control(
    app: &App,
    project: ProjectId,
    actor: &Actor,
    id: JobId,
    event: JobEvent,
) -> Result<Job, ApiError> {
    let row = find(app, project, id).await?;
    let control = (event == JobEvent::Cancel).then_some(Control::CancelJob { job: row.seq });
    let message = control
        .map(|control| serde_json::to_value(&control))
        .transpose()
        .map_err(|error| super::problem::internal("writing a control message", &error))?
        .map(|payload| OutboxMessage { routing_key: String::new(), payload, traceparent: None });
    let state = app.store.transition(row.seq, event, message).await?;
    let action = match event {
        JobEvent::Pause => "job.pause",
        JobEvent::Resume => "job.resume",
        _ => "job.cancel",
    };
    audit::note(app, actor, action, row.id, json!({ "from": row.state, "to": state })).await?;
    app.wake.relay.notify_one();
    app.wake.dispatch.notify_one();
    app.wake.settle.notify_one();
    let row = find(app, project, row.id).await?;
    detailed(app, row).await
}

/// Holds a job back: nothing more is handed out, what runs is finished.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/pause",
    operation_id = "pause_job",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job as it is now.", body = Job),
        (status = 409, description = "Its state does not accept it.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn pause(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    control(&app, project, &actor, parse(&id)?, JobEvent::Pause).await.map(Json)
}

/// Lets a paused job go on.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/resume",
    operation_id = "resume_job",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job as it is now.", body = Job),
        (status = 409, description = "Its state does not accept it.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn resume(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    control(&app, project, &actor, parse(&id)?, JobEvent::Resume).await.map(Json)
}

/// Ends a job. Once this has returned, no result of it is committed any more.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job as it is now.", body = Job),
        (status = 409, description = "Its state does not accept it.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn cancel(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    control(&app, project, &actor, parse(&id)?, JobEvent::Cancel).await.map(Json)
}
