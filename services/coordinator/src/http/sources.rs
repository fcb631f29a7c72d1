//! `POST` and `GET /v1/datasets/{name}/sources`.

use super::extract::{Json, KnownQuery, NAME_RULE, Paging, Project, cursor, is_name, limit};
use super::ndjson;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::{DatasetId, Digest, ProjectId};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use wire::http::v1::{Duplicate, MaskConflict, NewSource, NewSources, Page, Source, SourcesAdded};

/// Sources of one request at most.
const MOST: usize = 5_000;
/// Questions to the bucket at once.
const ASKED_AT_ONCE: usize = 32;
/// Masks of one source at most.
const MOST_MASKS: usize = 20;
/// Longest URI in characters and longest label in bytes: they are copied into every record.
const LONGEST: usize = 2_048;

/// The dataset of this name.
pub async fn dataset(app: &App, project: ProjectId, name: &str) -> Result<store::Dataset, ApiError> {
    let dataset = app.store.dataset(project, name).await?;
    dataset.ok_or_else(|| ApiError::NotFound(format!("there is no dataset '{name}'")))
}

fn check(index: usize, source: &NewSource) -> Result<(), ApiError> {
    let at = |what: &str| Err(ApiError::InvalidRequest(format!("sources[{index}].{what}")));
    if source.uri.trim().is_empty() {
        return at("uri is empty; say where the image came from");
    }
    if source.uri.chars().count() > LONGEST {
        return at(&format!("uri is longer than {LONGEST} characters"));
    }
    if source.bytes < 0 {
        return at(&format!("bytes is {}; a size cannot be negative", source.bytes));
    }
    let long = source.labels.iter().any(|(name, value)| name.is_empty() || name.len() + value.len() > LONGEST);
    if long || source.labels.len() > 100 {
        return at(&format!("labels must be at most 100, named, and up to {LONGEST} bytes each"));
    }
    if let Some(name) = source.masks.keys().find(|name| !is_name(name)) {
        return at(&format!("masks has the name '{name}'; a mask's name is {NAME_RULE}"));
    }
    if source.masks.len() > MOST_MASKS {
        return at(&format!("masks has {} entries; the limit is {MOST_MASKS}", source.masks.len()));
    }
    Ok(())
}

/// Those of `digests` that are not in the bucket.
async fn missing(app: &App, digests: BTreeSet<Digest>) -> Result<BTreeSet<Digest>, ApiError> {
    let asked = stream::iter(
        digests
            .into_iter()
            .map(|digest| async move { Ok::<_, ApiError>((!app.artifacts.exists(digest).await?).then_some(digest)) }),
    );
    asked.buffer_unordered(ASKED_AT_ONCE).try_filter_map(|found| async move { Ok(found) }).try_collect().await
}

/// Registers what is uploaded, and names what is not.
#[utoipa::path(
    post,
    path = "/v1/datasets/{name}/sources",
    operation_id = "add_sources",
    tag = "datasets",
    params(("name" = String, Path, description = "The dataset.")),
    request_body = NewSources,
    responses((status = 200, description = "What became of each.", body = SourcesAdded)),
)]
pub async fn add(
    State(app): State<App>,
    Project(project): Project,
    Path(name): Path<String>,
    Json(new): Json<NewSources>,
) -> Result<axum::Json<SourcesAdded>, ApiError> {
    let dataset = dataset(&app, project, &name).await?;
    if new.sources.len() > MOST {
        let given = new.sources.len();
        return Err(ApiError::InvalidRequest(format!("sources has {given} entries; send at most {MOST} a request")));
    }
    for (index, source) in new.sources.iter().enumerate() {
        check(index, source)?;
    }
    let named =
        |source: &NewSource| std::iter::once(source.sha256).chain(source.masks.values().copied()).collect::<Vec<_>>();
    let missing = missing(&app, new.sources.iter().flat_map(named).collect()).await?;
    let rows: Vec<store::SourceRow> = new
        .sources
        .into_iter()
        .filter(|s| !named(s).iter().any(|digest| missing.contains(digest)))
        .map(|s| store::SourceRow {
            sha256: s.sha256,
            uri: s.uri,
            bytes: s.bytes,
            labels: s.labels,
            masks: s.masks,
            landmarks: s.landmarks,
        })
        .collect();
    let added = app.store.add_sources(dataset.id, &rows).await?;
    Ok(axum::Json(SourcesAdded {
        added: added.added.cast_signed(),
        duplicates: added.duplicates.into_iter().map(|d| Duplicate { uri: d.uri, same_as: d.same_as }).collect(),
        missing: missing.into_iter().collect(),
        masks: added.masks.cast_signed(),
        mask_conflicts: added
            .mask_conflicts
            .into_iter()
            .map(|c| MaskConflict { uri: c.uri, mask: c.name, kept: c.kept })
            .collect(),
        landmarks: added.landmarks.cast_signed(),
        landmark_conflicts: added.landmark_conflicts,
    }))
}

/// One page, in dataset order.
#[utoipa::path(
    get,
    path = "/v1/datasets/{name}/sources",
    operation_id = "list_sources",
    tag = "datasets",
    params(("name" = String, Path, description = "The dataset."), Paging),
    responses((status = 200, description = "A page, in dataset order. With `accept: application/x-ndjson` the whole list, a row a line.", content((Page<Source> = "application/json"), (String = "application/x-ndjson")))),
)]
pub async fn list(
    State(app): State<App>,
    Project(project): Project,
    Path(name): Path<String>,
    headers: HeaderMap,
    KnownQuery(paging): KnownQuery<Paging>,
) -> Result<Response, ApiError> {
    let dataset = dataset(&app, project, &name).await?.id;
    let read = move |after, limit| {
        let app = app.clone();
        async move { page(&app, dataset, &Paging { after, limit }).await }
    };
    ndjson::answer(&headers, paging.after, paging.limit, read).await
}

/// One page.
pub async fn page(app: &App, dataset: DatasetId, paging: &Paging) -> Result<Page<Source>, ApiError> {
    let limit = limit(paging.limit)?;
    let rows = app.store.sources(dataset, cursor(paging.after.as_deref())?, limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|s| s.ordinal.to_string());
    Ok(Page { items: rows.into_iter().map(view).collect(), next })
}

/// A source as it is answered.
pub fn view(row: store::Source) -> Source {
    let store::Source { ordinal, sha256, uri, bytes: _, labels, masks, landmarks } = row;
    Source { ordinal, sha256, uri, labels, masks, landmarks }
}
