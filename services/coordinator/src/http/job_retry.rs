//! `POST /v1/jobs/{id}/retry`: tries dead tasks again; counts them only, by reason, with `dry_run`.

use super::audit;
use super::extract::{Actor, Json, Project, parse};
use super::job_get::find;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use domain::{JobId, Reason};
use serde_json::json;
use wire::http::v1::{Problem, ReasonCount, Retried, Retry};

/// What was, or would be, revived.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/retry",
    operation_id = "retry_job",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    request_body = Retry,
    responses((status = 200, description = "What was, or would be, tried again.", body = Retried),
        (status = 409, description = "The state of the job does not accept it.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Json(retry): Json<Retry>,
) -> Result<axum::Json<Retried>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    let retried = app.store.retry_dead(row.seq, retry.reason, retry.dry_run).await?;
    if !retry.dry_run {
        let detail = json!({ "reason": retry.reason, "tasks": retried.tasks, "reasons": retried.reasons });
        audit::note(&app, &actor, "job.retry", row.id, detail).await?;
        app.wake.dispatch.notify_one();
    }
    let count = |(reason, tasks): (Reason, u64)| ReasonCount { reason, tasks: tasks.cast_signed() };
    Ok(axum::Json(Retried {
        tasks: retried.tasks.cast_signed(),
        reasons: retried.reasons.into_iter().map(count).collect(),
        dry_run: retry.dry_run,
    }))
}
