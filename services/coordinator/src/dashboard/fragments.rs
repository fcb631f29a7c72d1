//! The parts of pages that move, as [`crate::live`] tells them.

use super::{job, jobs, workers};
use crate::access::{May, Reach};
use crate::app::App;
use crate::http::job_get;
use crate::http::problem::{ApiError, internal};
use crate::live::Look;
use askama::Template;
use domain::{JobId, ProjectId};

fn rendered(template: &impl Template) -> Result<String, ApiError> {
    template.render().map_err(|error| internal("rendering a fragment", &error))
}

/// The moving part of a job's page, for somebody who may do this. It goes on after the job's end: a retry moves it again.
pub async fn job(app: &App, project: ProjectId, id: JobId, may: May) -> Result<Look, ApiError> {
    let now = job::now(app, job_get::find(app, project, id).await?, may).await?;
    Ok(Look { text: rendered(&now)?, moving: now.is_moving(), last: false })
}

/// The newest jobs, as the whole table or as rows that each replace the one of the same job.
pub async fn jobs(app: &App, project: ProjectId, rows: bool) -> Result<Look, ApiError> {
    let now = jobs::newest(app, project, rows).await?;
    Ok(Look { text: rendered(&now)?, moving: now.is_moving(), last: false })
}

/// The workers.
pub async fn workers(app: &App, reach: &Reach, may: May) -> Result<Look, ApiError> {
    Ok(Look { text: rendered(&workers::now(app, reach, may).await?)?, moving: true, last: false })
}
