//! `POST /v1/api-keys`: makes a key. The answer is the only place where its text ever stands.

use super::api_keys_list::view;
use super::audit;
use super::extract::{Actor, Json, NAME_RULE, is_name};
use super::problem::{ApiError, internal};
use crate::access::{Principal, issue};
use crate::app::App;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{Duration, Utc};
use domain::ApiKeyToken;
use serde_json::json;
use wire::http::v1::{CreatedApiKey, NewApiKey};

/// Longest life in days: what is to hold longer can be rotated meanwhile.
const MOST_DAYS: u32 = 3_650;

/// 201 with the key.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    operation_id = "create_api_key",
    tag = "access",
    request_body = NewApiKey,
    responses((status = 201, description = "The key, with its text.", body = CreatedApiKey)),
)]
pub async fn handle(
    State(app): State<App>,
    principal: Principal,
    actor: Actor,
    Json(new): Json<NewApiKey>,
) -> Result<Response, ApiError> {
    if !is_name(&new.name) {
        return Err(ApiError::InvalidRequest(format!("name is '{}'; a key's name is {NAME_RULE}", new.name)));
    }
    let expires_at = match new.expires_in_days {
        None => None,
        Some(days @ 1..=MOST_DAYS) => Some(Utc::now() + Duration::days(days.into())),
        Some(days) => {
            return Err(ApiError::InvalidRequest(format!("expires_in_days is {days}; it must be 1 to {MOST_DAYS}")));
        }
    };
    let project = match (&new.project, principal.reach.names()) {
        (Some(name), _) if !is_name(name) => {
            return Err(ApiError::InvalidRequest(format!("project is '{name}'; a project's name is {NAME_RULE}")));
        }
        (Some(name), _) if !principal.reach.includes(name) => {
            let detail = format!("{} makes no keys for the project '{name}'", principal.name());
            return Err(ApiError::Forbidden { code: "wrong_project", detail });
        }
        (Some(name), _) => Some(app.store.ensure_project(name).await?),
        (None, None) => None,
        (None, Some(_)) => {
            let detail = format!("{} makes no keys for all projects; name one", principal.name());
            return Err(ApiError::Forbidden { code: "wrong_project", detail });
        }
    };
    let token = issue::new_key().map_err(|error| internal("making a key", &error))?;
    let row = store::NewApiKey {
        id: token.id(),
        name: new.name.clone(),
        scope: new.scope,
        project,
        secret_sha256: token.secret_sha256(),
        created_by: actor.name.clone(),
        expires_at,
    };
    app.store.create_api_key(&row).await?;
    let detail = json!({ "name": new.name, "scope": new.scope, "project": new.project, "expires_at": expires_at });
    audit::note(&app, &actor.about(project), "api_key.create", token.id(), detail).await?;
    told(&app, StatusCode::CREATED, &token).await
}

/// The key with its text, which no cache may keep.
pub async fn told(app: &App, status: StatusCode, token: &ApiKeyToken) -> Result<Response, ApiError> {
    let gone = || ApiError::NotFound(format!("the API key {} was removed meanwhile", token.id()));
    let key = view(app.store.api_key(token.id()).await?.ok_or_else(gone)?);
    let body = axum::Json(CreatedApiKey { key, token: token.reveal() });
    Ok((status, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], body).into_response())
}
