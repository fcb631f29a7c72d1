//! `GET /v1/jobs/{id}/pairs`: results with what an export says of them, by task number. Takes the filters of the list of results.

use super::extract::{KnownQuery, Project, parse};
use super::problem::ApiError;
use super::{job_get, ndjson, results};
use crate::app::App;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use domain::JobId;
use store::JobRow;
use wire::http::v1::{Page, Pair};

/// The list.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/pairs",
    operation_id = "list_pairs",
    tag = "results",
    params(("id" = JobId, Path, description = "The job."), results::Filter),
    responses((status = 200, description = "A page, by task number. With `accept: application/x-ndjson` the whole list, a row a line.", content((Page<Pair> = "application/json"), (String = "application/x-ndjson")))),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    headers: HeaderMap,
    KnownQuery(filter): KnownQuery<results::Filter>,
) -> Result<Response, ApiError> {
    let job = job_get::find(&app, project, parse(&id)?).await?;
    ndjson::of_job(&headers, app, job, filter, |of, filter| async move { list(&of.0, &of.1, &filter).await }).await
}

/// One page.
async fn list(app: &App, job: &JobRow, filter: &results::Filter) -> Result<Page<Pair>, ApiError> {
    let Page { items, next } = results::list(app, job, filter).await?;
    let numbers: Vec<i32> = items.iter().map(|result| result.task.no).collect();
    let mut facts = app.store.pair_facts(job.seq, &numbers).await?;
    let pair = |result: wire::http::v1::EditResult| {
        let facts = facts.remove(&result.task.no).unwrap_or_default();
        Pair { result, labels: facts.labels, steps: facts.steps }
    };
    Ok(Page { items: items.into_iter().map(pair).collect(), next })
}
