//! `GET /v1/api-keys`: the keys of the installation, or of the project that the asking key is for. Their secrets are nowhere.

use super::extract::{KnownQuery, Paging, limit, parse};
use super::problem::ApiError;
use crate::access::Principal;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use domain::ApiKeyId;
use wire::http::v1::{ApiKey, Page};

/// A key as it is answered.
pub fn view(row: store::ApiKeyRow) -> ApiKey {
    let state = match (row.revoked_at, row.expired) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "active",
    };
    ApiKey {
        id: row.id,
        name: row.name,
        scope: row.scope,
        project: row.project,
        state: state.to_owned(),
        created_at: row.created_at,
        created_by: row.created_by,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        rotated_at: row.rotated_at,
        revoked_at: row.revoked_at,
    }
}

/// The key of this id, if the asking one may manage it: a key of another project is not there.
pub async fn find(app: &App, principal: &Principal, id: ApiKeyId) -> Result<store::ApiKeyRow, ApiError> {
    let within = |key: &store::ApiKeyRow| match &key.project {
        Some(project) => principal.reach.includes(project),
        None => principal.reach.names().is_none(),
    };
    let row = app.store.api_key(id).await?.filter(within);
    row.ok_or_else(|| ApiError::NotFound(format!("there is no API key {id}")))
}

/// One page, newest first.
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    operation_id = "list_api_keys",
    tag = "access",
    params(Paging),
    responses((status = 200, description = "A page, newest first.", body = Page<ApiKey>)),
)]
pub async fn handle(
    State(app): State<App>,
    principal: Principal,
    KnownQuery(paging): KnownQuery<Paging>,
) -> Result<Json<Page<ApiKey>>, ApiError> {
    let limit = limit(paging.limit)?;
    let after = paging.after.as_deref().map(parse::<ApiKeyId>).transpose()?;
    let rows = app.store.api_keys(principal.reach.names(), after, limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.id.to_string());
    Ok(Json(Page { items: rows.into_iter().map(view).collect(), next }))
}
