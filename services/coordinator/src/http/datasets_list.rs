//! `GET /v1/datasets` and `GET /v1/datasets/{name}`.

use super::extract::{KnownQuery, Paging, Project, limit};
use super::problem::{ApiError, known};
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::ProjectId;
use wire::http::v1::{Dataset, Page};

/// Errors of an import that are shown.
const ERRORS_SHOWN: usize = 100;

/// A dataset as it is answered.
pub fn view(dataset: store::Dataset) -> Dataset {
    let mut import_errors = dataset.import_errors;
    import_errors.truncate(ERRORS_SHOWN);
    Dataset {
        id: dataset.id,
        name: dataset.name,
        sources: dataset.sources,
        masks: dataset.masks,
        landmarks: dataset.landmarks,
        importing: dataset.importing,
        import_errors,
        created_at: dataset.created_at,
    }
}

/// One page, by name.
pub async fn list(app: &App, project: ProjectId, paging: &Paging) -> Result<Page<Dataset>, ApiError> {
    let limit = limit(paging.limit)?;
    let rows = app.store.datasets(project, paging.after.as_deref(), limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|d| d.name.clone());
    Ok(Page { items: rows.into_iter().map(view).collect(), next })
}

/// The dataset of this name, or a refusal that names those there are. `field` is where the name was given.
pub async fn find(app: &App, project: ProjectId, field: &str, name: &str) -> Result<store::Dataset, ApiError> {
    if let Some(dataset) = app.store.dataset(project, name).await? {
        return Ok(dataset);
    }
    let names: Vec<String> = app.store.datasets(project, None, 100).await?.into_iter().map(|d| d.name).collect();
    Err(ApiError::UnknownDataset { field: field.to_owned(), name: name.to_owned(), known: known(&names) })
}

/// The list.
#[utoipa::path(
    get,
    path = "/v1/datasets",
    operation_id = "list_datasets",
    tag = "datasets",
    params(Paging),
    responses((status = 200, description = "A page, by name.", body = Page<Dataset>)),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    KnownQuery(paging): KnownQuery<Paging>,
) -> Result<Json<Page<Dataset>>, ApiError> {
    list(&app, project, &paging).await.map(Json)
}

/// One.
#[utoipa::path(
    get,
    path = "/v1/datasets/{name}",
    operation_id = "get_dataset",
    tag = "datasets",
    params(("name" = String, Path, description = "The dataset.")),
    responses((status = 200, description = "The dataset.", body = Dataset)),
)]
pub async fn one(
    State(app): State<App>,
    Project(project): Project,
    Path(name): Path<String>,
) -> Result<Json<Dataset>, ApiError> {
    let dataset = app.store.dataset(project, &name).await?;
    dataset.map(view).map(Json).ok_or_else(|| ApiError::NotFound(format!("there is no dataset '{name}'")))
}
