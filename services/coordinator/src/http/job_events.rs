//! `GET /v1/jobs/{id}/events`: the job as server-sent events, one (`event: job`, the JSON of `GET /v1/jobs/{id}`) whenever it has
//! changed, at most twice a second, until it has ended (`event: end`). `Last-Event-ID` goes on; after the end the answer is 204, on
//! which browsers stop asking.

use super::extract::{Project, parse};
use super::job_get::{detailed, find};
use super::problem::{ApiError, internal};
use crate::app::App;
use crate::live::{self, Look, Topic};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{JobId, ProjectId};

/// The job as it is now.
pub async fn look(app: &App, project: ProjectId, id: JobId) -> Result<Look, ApiError> {
    let job = detailed(app, find(app, project, id).await?).await?;
    let text = serde_json::to_string(&job).map_err(|error| internal("writing a job", &error))?;
    Ok(Look { text, moving: !job.state.is_terminal(), last: job.state.is_terminal() })
}

/// The stream.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "watch_job",
    tag = "jobs",
    params(
        ("id" = JobId, Path, description = "The job."),
        ("last-event-id" = Option<String>, Header, description = "Id of the last event that was seen: a stream that broke goes on.")
    ),
    responses(
        (status = 200, description = "`event: job` with the JSON of the job whenever it has changed, `event: end` when it has ended.", body = String, content_type = "text/event-stream"),
        (status = 204, description = "It has ended, and the last event was seen.")
    ),
)]
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id: JobId = parse(&id)?;
    if look(&app, project, id).await?.frame().is_over_for(&headers) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(live::answer(&app, Topic::Job(project, id), "job", &headers))
}
