//! `GET /v1/jobs/{id}`.

use super::extract::{Project, parse};
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::{JobId, ProjectId};
use std::collections::BTreeMap;
use store::JobRow;
use wire::http::v1::{Count, Job, ReasonCount};

/// The project's job of this id.
pub async fn find(app: &App, project: ProjectId, id: JobId) -> Result<JobRow, ApiError> {
    app.store.job(project, id).await?.ok_or_else(|| ApiError::NotFound(format!("there is no job {id}")))
}

/// A job with its counts.
pub async fn view(app: &App, row: JobRow) -> Result<Job, ApiError> {
    let counts = app.store.counts(row.seq).await?;
    let mut reasons = BTreeMap::new();
    for count in app.store.reasons(row.seq).await? {
        *reasons.entry(count.reason).or_insert(0) += count.n;
    }
    Ok(Job {
        id: row.id,
        seq: row.seq,
        spec: row.spec,
        state: row.state,
        gpu_ms: counts.iter().map(|c| c.gpu_ms).sum(),
        counts: counts
            .into_iter()
            .filter(|c| c.n != 0)
            .map(|c| Count { stage: c.stage, state: c.phase.name().to_owned(), tasks: c.n })
            .collect(),
        reasons: reasons.into_iter().map(|(reason, tasks)| ReasonCount { reason, tasks }).collect(),
        memoised: row.memoised,
        created_at: row.created_at,
        finished_at: row.finished_at,
    })
}

/// The job.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    view(&app, row).await.map(Json)
}
