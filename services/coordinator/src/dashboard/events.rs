//! `GET /ui/events`: what moves on a page, as server-sent events with a fragment each. `?job=ID` is the job's page, `?list=table` or
//! `rows` the list of jobs, `?workers` the workers.

use crate::access::Principal;
use crate::app::App;
use crate::http::extract::{Project, Query, parse};
use crate::http::job_get;
use crate::http::problem::ApiError;
use crate::live::{self, Topic};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

/// What to watch.
#[derive(serde::Deserialize)]
pub struct Watch {
    /// A job.
    job: Option<String>,
    /// `table` or `rows`.
    list: Option<String>,
}

/// The stream.
pub async fn handle(
    State(app): State<App>,
    Project(project): Project,
    principal: Principal,
    Query(watch): Query<Watch>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let may = super::may();
    let topic = match (watch.job, watch.list.as_deref()) {
        (Some(id), _) => Topic::JobPage(project, job_get::find(&app, project, parse(&id)?).await?.id, may),
        (None, Some("table")) => Topic::JobTable(project),
        (None, Some("rows")) => Topic::JobRows(project),
        (None, _) => Topic::Workers(principal.reach, may),
    };
    Ok(live::answer(&app, topic, "", &headers))
}
