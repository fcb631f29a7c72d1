//! `GET /v1/records/{digest}`: a provenance record.

use super::extract::{Project, parse};
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::Digest;
use domain::record::Record;

/// The record of this digest.
pub async fn find(app: &App, digest: Digest) -> Result<Record, ApiError> {
    let row = app.store.record(digest).await?;
    row.map(|row| row.record).ok_or_else(|| ApiError::NotFound(format!("there is no record {digest}")))
}

/// The record, of a job of the project's.
#[utoipa::path(
    get,
    path = "/v1/records/{digest}",
    operation_id = "get_record",
    tag = "provenance",
    params(("digest" = Digest, Path, description = "The digest of the record.")),
    responses((status = 200, description = "The record, as the schema `counterfactory/record/2` of this project says.", body = Object)),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(digest): Path<String>,
) -> Result<Json<Record>, ApiError> {
    let digest: Digest = parse(&digest)?;
    let missing = || ApiError::NotFound(format!("there is no record {digest}"));
    let row = app.store.record(digest).await?.ok_or_else(missing)?;
    let job = app.store.job_by_seq(row.task.job).await?;
    job.filter(|job| job.project == project).ok_or_else(missing)?;
    Ok(Json(row.record))
}
