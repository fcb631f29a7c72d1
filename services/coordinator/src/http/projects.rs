//! `GET /v1/projects`, `GET` and `POST /v1/projects/{name}`: shares and limits of tenants.

use super::audit;
use super::extract::{Actor, Json, NAME_RULE, is_name, ranged, removable, removable_count};
use super::problem::ApiError;
use crate::access::Principal;
use crate::app::App;
use axum::extract::{Path, State};
use serde_json::json;
use store::ProjectChange;
use wire::http::v1::{Page, Project, SetProject};

fn view(row: store::Project) -> Project {
    Project {
        name: row.name,
        weight: row.weight,
        quota_gpu_seconds_per_day: row.quota_ms_per_day.map(|ms| ms / 1000.0),
        max_concurrent: row.max_batches.map(i32::cast_unsigned),
        tasks_per_minute: row.tasks_per_minute,
        used_gpu_seconds: row.used_ms / 1000.0,
    }
}

fn missing(name: &str) -> ApiError {
    ApiError::NotFound(format!("there is no project '{name}'"))
}

async fn find(app: &App, name: &str) -> Result<store::Project, ApiError> {
    app.store.project(name).await?.ok_or_else(|| missing(name))
}

/// All projects that the key is for.
#[utoipa::path(
    get,
    path = "/v1/projects",
    operation_id = "list_projects",
    tag = "projects",
    responses((status = 200, description = "All that the key is for.", body = Page<Project>)),
)]
pub async fn list(State(app): State<App>, principal: Principal) -> Result<axum::Json<Page<Project>>, ApiError> {
    let rows = app.store.projects().await?.into_iter();
    let items = rows.filter(|project| principal.reach.includes(&project.name)).map(view).collect();
    Ok(axum::Json(Page { items, next: None }))
}

/// One project.
#[utoipa::path(
    get,
    path = "/v1/projects/{name}",
    operation_id = "get_project",
    tag = "projects",
    params(("name" = String, Path, description = "The project.")),
    responses((status = 200, description = "The project.", body = Project)),
)]
pub async fn one(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Project>, ApiError> {
    if !principal.reach.includes(&name) {
        return Err(missing(&name));
    }
    Ok(axum::Json(view(find(&app, &name).await?)))
}

/// Changes a project, which is made if it is new: its limits may be set before its first job.
#[utoipa::path(
    post,
    path = "/v1/projects/{name}",
    operation_id = "set_project",
    tag = "projects",
    params(("name" = String, Path, min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$", description = "The project.")),
    request_body = SetProject,
    responses((status = 200, description = "The project with its new limits.", body = Project)),
)]
pub async fn set(
    State(app): State<App>,
    actor: Actor,
    Path(name): Path<String>,
    Json(set): Json<SetProject>,
) -> Result<axum::Json<Project>, ApiError> {
    if !is_name(&name) {
        return Err(ApiError::InvalidParameter(format!("a project's name must be {NAME_RULE}")));
    }
    let change = ProjectChange {
        weight: set.weight.map(|weight| ranged("weight", weight, 1e-3, 1e3)).transpose()?,
        quota_ms_per_day: removable("quota_gpu_seconds_per_day", set.quota_gpu_seconds_per_day)?
            .map(|seconds| seconds.map(|s| s * 1000.0)),
        max_batches: removable_count("max_concurrent", set.max_concurrent)?,
        tasks_per_minute: removable("tasks_per_minute", set.tasks_per_minute)?,
    };
    let id = app.store.ensure_project(&name).await?;
    app.store.change_project(id, &change).await?;
    audit::note(&app, &actor.about(Some(id)), "project.set", &name, json!(set)).await?;
    app.wake.dispatch.notify_one();
    Ok(axum::Json(view(find(&app, &name).await?)))
}
