//! `POST /v1/datasets`: creates a dataset, or finds it.

use super::audit;
use super::datasets_list::view;
use super::extract::{Actor, Json, NAME_RULE, Project, created, is_name};
use super::problem::ApiError;
use crate::access::Principal;
use crate::app::App;
use artifacts::S3Uri;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;
use wire::http::v1::{Dataset, NewDataset, Problem};

/// 201 when new, 200 when it is there with the same import.
#[utoipa::path(
    post,
    path = "/v1/datasets",
    operation_id = "create_dataset",
    tag = "datasets",
    request_body = NewDataset,
    responses(
        (status = 200, description = "It is there, with the same import.", body = Dataset),
        (status = 201, description = "It is new.", body = Dataset),
        (status = 409, description = "It exists with another import.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    principal: Principal,
    actor: Actor,
    Json(new): Json<NewDataset>,
) -> Result<(StatusCode, axum::Json<Dataset>), ApiError> {
    if !is_name(&new.name) {
        return Err(ApiError::InvalidRequest(format!("name is '{}'; a dataset's name is {NAME_RULE}", new.name)));
    }
    if let Some(uri) = new.import.as_deref() {
        let from: S3Uri = uri.parse().map_err(|error| ApiError::InvalidRequest(format!("import: {error}")))?;
        // Imports read with the coordinator's own keys. In its own bucket lie the images of all projects, under their digests.
        if from.bucket == app.config.bucket.name && principal.reach.names().is_some() {
            let detail =
                format!("import: {uri} is this installation's own bucket, which a key for one project does not read");
            return Err(ApiError::Forbidden { code: "own_bucket", detail });
        }
    }
    if let Some(dataset) = app.store.create_dataset(project, &new.name, new.import.as_deref()).await? {
        audit::note(&app, &actor, "dataset.create", &new.name, json!({ "import": new.import })).await?;
        app.wake.import.notify_one();
        return Ok((created(true), axum::Json(view(dataset))));
    }
    let gone = || ApiError::NotFound(format!("the dataset '{}' was removed meanwhile; try again", new.name));
    let dataset = app.store.dataset(project, &new.name).await?.ok_or_else(gone)?;
    if new.import.is_some() && dataset.import_uri != new.import {
        let there = dataset.import_uri.as_deref().unwrap_or("no import");
        let name = &new.name;
        return Err(ApiError::DatasetConflict(format!(
            "the dataset '{name}' exists with {there}; choose another name"
        )));
    }
    Ok((created(false), axum::Json(view(dataset))))
}
