//! `POST /v1/packs`: registers a pack whose files are uploaded.

use super::audit;
use super::extract::{Actor, Json, NAME_RULE, created, is_name};
use super::packs_list::view;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use packs::Manifest;
use serde_json::json;
use store::{PackAdded, PackRow};
use wire::http::v1::{NewPack, Pack, Problem};

/// 201 when new, 200 when the same pack is there.
#[utoipa::path(
    post,
    path = "/v1/packs",
    operation_id = "add_pack",
    tag = "packs",
    request_body = NewPack,
    responses(
        (status = 200, description = "The same pack is there.", body = Pack),
        (status = 201, description = "It is new.", body = Pack),
        (status = 409, description = "The name belongs to another pack.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn handle(
    State(app): State<App>,
    actor: Actor,
    Json(new): Json<NewPack>,
) -> Result<(StatusCode, axum::Json<Pack>), ApiError> {
    let manifest = Manifest::from_toml(&new.manifest).map_err(|error| ApiError::InvalidPack(error.to_string()))?;
    if !is_name(&manifest.name) {
        return Err(ApiError::InvalidPack(format!("pack.toml: name is '{}'; it must be {NAME_RULE}", manifest.name)));
    }
    let mut missing = Vec::new();
    for file in manifest.files() {
        if !app.artifacts.exists(file.sha256).await? {
            missing.push(format!("{} ({}, sha256 {})", file.file, file.role.key(), file.sha256));
        }
    }
    if !missing.is_empty() {
        return Err(ApiError::MissingBlobs(missing.join("; ")));
    }
    let resolution = i32::try_from(manifest.image.size)
        .map_err(|_| ApiError::InvalidPack("pack.toml: image.size is out of range".to_owned()))?;
    let manifest_digest = app.artifacts.put(Bytes::from(new.manifest.clone())).await?;
    let row = PackRow {
        name: manifest.name.clone(),
        digest: manifest.digest(),
        manifest_digest,
        manifest: new.manifest,
        resolution,
    };
    let new = match app.store.add_pack(&row).await? {
        PackAdded::Added => true,
        PackAdded::Same => false,
        PackAdded::Conflict { .. } => return Err(ApiError::PackConflict(row.name)),
    };
    if new {
        audit::note(&app, &actor.about(None), "pack.add", &row.name, json!({ "digest": row.digest })).await?;
    }
    let gone = || ApiError::NotFound(format!("the pack '{}' was removed meanwhile; try again", row.name));
    let row = app.store.pack(&row.name).await?.ok_or_else(gone)?;
    Ok((created(new), axum::Json(view(row))))
}
