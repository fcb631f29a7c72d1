//! `POST /v1/jobs/{id}/limits`: changes what a job may take at most, and its priority.

use super::audit;
use super::extract::{Actor, Json, Project, parse, removable, removable_count};
use super::job_get::{detailed, find};
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use domain::JobId;
use serde_json::json;
use store::LimitsChange;
use wire::http::v1::{Job, Problem, SetLimits};

/// The job with its new limits.
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/limits",
    operation_id = "set_job_limits",
    tag = "jobs",
    params(("id" = JobId, Path, description = "The job.")),
    request_body = SetLimits,
    responses((status = 200, description = "The job with its new limits.", body = Job),
        (status = 409, description = "The job has ended.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Json(set): Json<SetLimits>,
) -> Result<axum::Json<Job>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
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
    app.store.change_limits(row.seq, &change).await?;
    audit::note(&app, &actor, "job.limits", row.id, json!(set)).await?;
    app.wake.dispatch.notify_one();
    detailed(&app, find(&app, project, row.id).await?).await.map(axum::Json)
}
