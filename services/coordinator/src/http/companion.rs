//! `GET /v1/results/{task}/companions/{kind}`: the reconstruction or a latent of an output, as it may leave: signed.

use super::extract::{Project, parse};
use super::problem::ApiError;
use super::results;
use crate::app::App;
use crate::companions;
use axum::Json;
use axum::extract::{Path, State};
use credentials::Companion;
use wire::http::v1::SignedCompanion;

/// Where its blobs are. The first demand signs.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path((task, kind)): Path<(String, String)>,
) -> Result<Json<SignedCompanion>, ApiError> {
    let companion: Companion = kind.parse().map_err(ApiError::NotFound)?;
    let result = results::find(&app, project, parse(&task)?).await?;
    companions::signed(&app, companion, result.record).await.map(Json)
}
