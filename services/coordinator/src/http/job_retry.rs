//! `POST /v1/jobs/{id}/retry`: tries dead tasks again; counts them only with `dry_run`.

use super::extract::{Json, Project, parse};
use super::job_get::find;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use wire::http::v1::{Retried, Retry};

/// What was, or would be, revived.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    Json(retry): Json<Retry>,
) -> Result<axum::Json<Retried>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    let retried = app.store.retry_dead(row.seq, retry.reason, retry.dry_run).await?;
    if !retry.dry_run {
        tracing::info!(job = %row.id, tasks = retried.tasks, "dead tasks were revived by request");
        app.wake.dispatch.notify_one();
    }
    Ok(axum::Json(Retried { tasks: retried.tasks.cast_signed(), dry_run: retry.dry_run }))
}
