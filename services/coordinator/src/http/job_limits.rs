//! `GET` and `POST /v1/jobs/{id}/limits`: what a job may take at most, and its priority. The answer's `ETag` counts their changes, so that
//! two people who change them at once notice (`If-Match`).

use super::audit;
use super::etag::IfMatch;
use super::extract::{Actor, Json, Project, parse, removable, removable_count};
use super::job_get::{detailed, find};
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use domain::JobId;
use serde_json::json;
use store::{JobRow, LimitsChange};
use wire::http::v1::{Job, JobLimits, Problem, SetLimits};

/// The tag of a job's limits.
pub fn tag(row: &JobRow) -> String {
    format!("\"limits-{}\"", row.limits_version)
}

/// What a job may take at most, as it stands now.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/limits",
    operation_id = "get_job_limits",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    responses((status = 200, description = "The limits; `etag` is for `if-match` of a change.", body = JobLimits)),
)]
pub async fn get(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    let tag = tag(&row);
    Ok(([(header::ETAG, tag)], axum::Json(JobLimits { limits: row.limits, priority: row.priority })))
}

/// Changes the limits of a job, as it was found; the job with them.
pub async fn set(
    app: &App,
    actor: &Actor,
    row: &JobRow,
    condition: &IfMatch,
    set: SetLimits,
) -> Result<JobRow, ApiError> {
    condition.hold(&tag(row))?;
    if row.state.is_terminal() {
        return Err(ApiError::NotNow(format!("a job that is {} has no use for limits", row.state)));
    }
    if set.no_deadline && set.deadline.is_some() {
        return Err(ApiError::InvalidRequest("deadline and no_deadline exclude each other".to_owned()));
    }
    let change = LimitsChange {
        max_concurrent: removable_count("max_concurrent", set.max_concurrent)?,
        budget_gpu_seconds: removable("budget_gpu_seconds", set.budget_gpu_seconds)?,
        deadline: if set.no_deadline { Some(None) } else { set.deadline.map(Some) },
        tasks_per_minute: removable("tasks_per_minute", set.tasks_per_minute)?,
        priority: set.priority,
    };
    if !app.store.change_limits(row.seq, &change, condition.given().then_some(row.limits_version)).await? {
        return Err(ApiError::Changed);
    }
    audit::note(app, actor, "job.limits", row.id, json!(set)).await?;
    app.wake.dispatch.notify_one();
    find(app, row.project, row.id).await
}

/// The job with its new limits.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/limits",
    operation_id = "set_job_limits",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job."), ("if-match" = Option<String>, Header, description = "The `etag` of what was seen: without it the latest word stands.")),
    request_body = SetLimits,
    responses((status = 200, description = "The job with its new limits.", body = Job),
        (status = 409, description = "The job has ended.", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It was changed meanwhile.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    condition: IfMatch,
    Path(id): Path<String>,
    Json(set): Json<SetLimits>,
) -> Result<axum::Json<Job>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    let row = self::set(&app, &actor, &row, &condition, set).await?;
    detailed(&app, row).await.map(axum::Json)
}
