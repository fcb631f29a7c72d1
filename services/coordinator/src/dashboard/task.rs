//! `GET /tasks/{task}`: a task with its attempts; one that has a result is shown as that.

use super::result::{Step, attempts};
use super::{Page, refused::Refused, render};
use crate::app::App;
use crate::http::extract::{Project, parse};
use crate::http::tasks;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::TaskId;
use wire::http::v1::Task;

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    tab: &'static str,
    job: domain::JobId,
    job_name: String,
    task: Task,
    steps: Vec<Step>,
}

/// The page, or the way to the result.
pub async fn page(
    State(app): State<App>,
    Project(project): Project,
    Path(task): Path<String>,
) -> Result<Response, Refused> {
    let id: TaskId = parse(&task)?;
    let axum::Json(task) = tasks::one(State(app.clone()), Project(project), Path(task)).await?;
    if app.store.result(id).await?.is_some() {
        return Ok(Redirect::to(&format!("/results/{id}")).into_response());
    }
    let job = app.store.job_by_seq(id.job).await?;
    let job = job.ok_or_else(|| crate::http::problem::ApiError::NotFound(format!("there is no task {id}")))?;
    let steps = attempts(&app, id).await?;
    let page: Page = render(&TaskPage { tab: "jobs", job: job.id, job_name: job.spec.name, task, steps });
    page.map(IntoResponse::into_response)
}
