//! `GET /v1/packs` and `GET /v1/packs/{name}`. An installation has a handful of packs, so the list has no pages.

use super::problem::{ApiError, known};
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use store::PackRow;
use wire::http::v1::{Pack, Page};

/// A pack as it is answered.
pub fn view(row: PackRow) -> Pack {
    Pack {
        name: row.name,
        digest: row.digest,
        manifest: row.manifest_digest,
        resolution: row.resolution.unsigned_abs(),
    }
}

/// All of them, by name.
pub async fn list(app: &App) -> Result<Vec<Pack>, ApiError> {
    Ok(app.store.packs().await?.into_iter().map(view).collect())
}

/// The pack of this name, or a refusal that names those there are.
pub async fn find(app: &App, name: &str) -> Result<PackRow, ApiError> {
    if let Some(row) = app.store.pack(name).await? {
        return Ok(row);
    }
    let names: Vec<String> = app.store.packs().await?.into_iter().map(|p| p.name).collect();
    Err(ApiError::UnknownPack { name: name.to_owned(), known: known(&names) })
}

/// The list.
#[utoipa::path(
    get,
    path = "/v1/packs",
    operation_id = "list_packs",
    tag = "packs",
    responses((status = 200, description = "All of them, by name.", body = Page<Pack>)),
)]
pub async fn handle(State(app): State<App>) -> Result<Json<Page<Pack>>, ApiError> {
    Ok(Json(Page { items: list(&app).await?, next: None }))
}

/// One.
#[utoipa::path(
    get,
    path = "/v1/packs/{name}",
    operation_id = "get_pack",
    tag = "packs",
    params(("name" = String, Path, description = "The pack.")),
    responses((status = 200, description = "The pack.", body = Pack)),
)]
pub async fn one(State(app): State<App>, Path(name): Path<String>) -> Result<Json<Pack>, ApiError> {
    let row = app.store.pack(&name).await?;
    row.map(view).map(Json).ok_or_else(|| ApiError::NotFound(format!("there is no pack '{name}'")))
}
