//! `GET /v1/records/{digest}`: a provenance record.

use super::extract::parse;
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

/// The record.
pub async fn handle(State(app): State<App>, Path(digest): Path<String>) -> Result<Json<Record>, ApiError> {
    find(&app, parse(&digest)?).await.map(Json)
}
