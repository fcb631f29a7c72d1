//! `GET /v1/jobs`: newest first.

use super::extract::{Project, Query, cursor, limit, parse};
use super::job_get::views;
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use domain::ProjectId;
use domain::job_state::JobState;
use store::JobFilter;
use wire::http::v1::{Job, Page};

/// Which jobs.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those with this text in their name, dataset or pack.
    pub q: Option<String>,
    /// Cursor.
    pub after: Option<String>,
    /// Rows.
    pub limit: Option<u32>,
}

/// One page.
pub async fn list(app: &App, project: ProjectId, filter: &Filter) -> Result<Page<Job>, ApiError> {
    let limit = limit(filter.limit);
    let state = filter.state.as_deref().map(parse::<JobState>).transpose()?;
    let rows = app
        .store
        .jobs(project, JobFilter { state, text: filter.q.as_deref() }, cursor(filter.after.as_deref())?, limit)
        .await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|job| job.seq.to_string());
    Ok(Page { items: views(app, rows).await?, next })
}

/// The list.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<Job>>, ApiError> {
    list(&app, project, &filter).await.map(Json)
}
