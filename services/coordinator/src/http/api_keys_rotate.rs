//! `POST /v1/api-keys/{id}/rotate`: gives a key another secret; the one it had holds for an overlap.

use super::api_keys_list::find;
use super::api_keys_new::told;
use super::audit;
use super::extract::{Actor, Json, parse};
use super::problem::{ApiError, internal};
use crate::access::{Principal, issue};
use crate::app::App;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use domain::ApiKeyId;
use serde_json::json;
use std::time::Duration;
use wire::http::v1::{CreatedApiKey, Problem, RotateApiKey};

/// Longest overlap in seconds: 30 days.
const LONGEST: u64 = 30 * 86_400;

/// 200 with the key's new text.
#[utoipa::path(
    post,
    path = "/v1/api-keys/{id}/rotate",
    operation_id = "rotate_api_key",
    tag = "access",
    params(("id" = ApiKeyId, Path, description = "The key.")),
    request_body = RotateApiKey,
    responses((status = 200, description = "The key, with its new text.", body = CreatedApiKey),
        (status = 409, description = "It is revoked.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn handle(
    State(app): State<App>,
    principal: Principal,
    actor: Actor,
    Path(id): Path<String>,
    Json(asked): Json<RotateApiKey>,
) -> Result<Response, ApiError> {
    let key = find(&app, &principal, parse(&id)?).await?;
    if asked.overlap_seconds > LONGEST {
        let given = asked.overlap_seconds;
        return Err(ApiError::InvalidRequest(format!("overlap_seconds is {given}; it is at most {LONGEST}")));
    }
    let token = issue::new_secret(key.id).map_err(|error| internal("making a secret", &error))?;
    let overlap = Duration::from_secs(asked.overlap_seconds);
    if !app.store.rotate_api_key(key.id, token.secret_sha256(), overlap).await? {
        return Err(ApiError::NotNow(format!("the API key {} is revoked; make another", key.id)));
    }
    let detail = json!({ "name": key.name, "overlap_seconds": asked.overlap_seconds });
    audit::note(&app, &about(&app, actor, &key).await?, "api_key.rotate", key.id, detail).await?;
    told(&app, StatusCode::OK, &token).await
}

/// The actor, about the key's project.
pub async fn about(app: &App, actor: Actor, key: &store::ApiKeyRow) -> Result<Actor, ApiError> {
    let project = match &key.project {
        Some(name) => app.store.project_id(name).await?,
        None => None,
    };
    Ok(actor.about(project))
}
