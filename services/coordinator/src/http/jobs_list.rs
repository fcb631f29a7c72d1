//! `GET /v1/jobs`: newest first.

use super::extract::{KnownQuery, Project, cursor, limit, parse};
use super::job_get::views;
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use domain::ProjectId;
use domain::job_state::JobState;
use store::JobFilter;
use utoipa::IntoParams;
use wire::http::v1::{Job, Page};

/// Which jobs.
#[derive(Debug, Default, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only those in this state.
    #[param(value_type = Option<JobState>)]
    pub state: Option<String>,
    /// Only those with this text in their name, dataset or pack.
    pub q: Option<String>,
    /// Cursor: `next` of the last page.
    #[param(pattern = "^[0-9]{1,9}$")]
    pub after: Option<String>,
    /// Rows of a page; 100 when absent.
    #[param(minimum = 1, maximum = 1_000)]
    pub limit: Option<u32>,
}

/// One page.
pub async fn list(app: &App, project: ProjectId, filter: &Filter) -> Result<Page<Job>, ApiError> {
    let limit = limit(filter.limit)?;
    let state = filter.state.as_deref().map(parse::<JobState>).transpose()?;
    let rows = app
        .store
        .jobs(project, JobFilter { state, text: filter.q.as_deref() }, cursor(filter.after.as_deref())?, limit)
        .await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|job| job.seq.to_string());
    Ok(Page { items: views(app, rows).await?, next })
}

/// The list.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(Filter),
    responses((status = 200, description = "A page, newest first.", body = Page<Job>)),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    KnownQuery(filter): KnownQuery<Filter>,
) -> Result<Json<Page<Job>>, ApiError> {
    list(&app, project, &filter).await.map(Json)
}
