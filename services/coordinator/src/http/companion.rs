//! `GET /v1/results/{task}/companions/{kind}`: the reconstruction or a latent of an output, as it may leave: signed.

use super::extract::{Project, parse};
use super::problem::ApiError;
use super::results;
use crate::app::App;
use crate::companions;
use axum::Json;
use axum::extract::{Path, State};
use credentials::Companion;
use domain::TaskId;
use wire::http::v1::SignedCompanion;

/// Where its blobs are. The first demand signs.
#[utoipa::path(
    get,
    path = "/v1/results/{task}/companions/{kind}",
    operation_id = "get_companion",
    tag = "provenance",
    params(
        ("task" = TaskId, Path, description = "The task."),
        ("kind" = String, Path, description = "`reconstruction`, `latent` or `source-latent`.")
    ),
    responses((status = 200, description = "Where its blobs are.", body = SignedCompanion)),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path((task, kind)): Path<(String, String)>,
) -> Result<Json<SignedCompanion>, ApiError> {
    let companion: Companion = kind.parse().map_err(ApiError::NotFound)?;
    let result = results::find(&app, project, parse(&task)?).await?;
    companions::signed(&app, companion, result.record).await.map(Json)
}
