//! `DELETE /v1/api-keys/{id}`: takes a key back, for good. Its row stays, so that the audit log's names can be looked up.

use super::api_keys_list::{find, view};
use super::api_keys_rotate::about;
use super::audit;
use super::extract::{Actor, parse};
use super::problem::ApiError;
use crate::access::Principal;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::ApiKeyId;
use serde_json::json;
use wire::http::v1::ApiKey;

/// The key, revoked. Repeating it is not an error.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    operation_id = "revoke_api_key",
    tag = "access",
    params(("id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 200, description = "The key, revoked.", body = ApiKey)),
)]
pub async fn handle(
    State(app): State<App>,
    principal: Principal,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Json<ApiKey>, ApiError> {
    let key = find(&app, &principal, parse(&id)?).await?;
    if app.store.revoke_api_key(key.id, &actor.name).await? {
        let actor = about(&app, actor, &key).await?;
        audit::note(&app, &actor, "api_key.revoke", key.id, json!({ "name": key.name })).await?;
    }
    find(&app, &principal, key.id).await.map(view).map(Json)
}
