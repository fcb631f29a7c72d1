//! `GET /tasks/{task}`: a task with its attempts; one that has a result is shown as that. `POST /ui/tasks/{task}/pause`, `resume` and
//! `cancel`: what operators do to it alone, while its job goes on.

use super::result::{Step, attempts};
use super::ui::{Fragment, noticed};
use super::{Page, refused::Refused, render};
use crate::access::Principal;
use crate::app::App;
use crate::http::extract::{Actor, Json, Project, parse};
use crate::http::problem::ApiError;
use crate::http::{tasks, tasks_control};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Scope, Stage, TaskId};
use store::{JobRow, Phase};
use wire::http::v1::{NamedTasks, Task};

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    tab: &'static str,
    id: TaskId,
    job: domain::JobId,
    job_name: String,
    now: String,
    steps: Vec<Step>,
}

/// What a change alters of the page.
#[derive(Template)]
#[template(path = "task_now.html")]
struct Now {
    task: Task,
    /// None for who may not change it.
    phase: Option<Phase>,
}

impl Now {
    fn of(task: Task, scope: Scope) -> Result<Self, ApiError> {
        let phase = (scope >= Scope::Operate).then(|| parse(&task.state)).transpose()?;
        Ok(Self { task, phase })
    }

    fn can_pause(&self) -> bool {
        matches!(self.phase, Some(Phase::Blocked | Phase::Ready | Phase::RetryWait))
    }

    fn can_resume(&self) -> bool {
        self.phase == Some(Phase::Paused)
    }

    /// A training is cancelled with the edits that wait for it.
    fn can_cancel(&self) -> bool {
        self.phase.is_some_and(|phase| !phase.is_terminal()) && self.task.stage != Stage::Train
    }
}

async fn job_of(app: &App, id: TaskId) -> Result<JobRow, ApiError> {
    app.store.job_by_seq(id.job).await?.ok_or_else(|| ApiError::NotFound(format!("there is no task {id}")))
}

/// The page, or the way to the result.
pub async fn page(
    State(app): State<App>,
    Project(project): Project,
    principal: Principal,
    Path(task): Path<String>,
) -> Result<Response, Refused> {
    let id: TaskId = parse(&task)?;
    let axum::Json(task) = tasks::one(State(app.clone()), Project(project), Path(task)).await?;
    if app.store.result(id).await?.is_some() {
        return Ok(Redirect::to(&format!("/results/{id}")).into_response());
    }
    let job = job_of(&app, id).await?;
    let steps = attempts(&app, id).await?;
    let now = render(&Now::of(task, principal.scope)?)?.0;
    let page: Page = render(&TaskPage { tab: "jobs", id, job: job.id, job_name: job.spec.name, now, steps });
    page.map(IntoResponse::into_response)
}

/// What is done to a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// It is held back.
    Pause,
    /// It is let go.
    Resume,
    /// It ends.
    Cancel,
}

/// The task after it.
pub async fn control(
    doing: Doing,
    State(app): State<App>,
    Project(project): Project,
    principal: Principal,
    actor: Actor,
    Path(task): Path<String>,
) -> Fragment {
    let id: TaskId = parse(&task)?;
    let look = || tasks::one(State(app.clone()), Project(project), Path(task.clone()));
    // the project's, or not there
    let _ = look().await?;
    let job = Path(job_of(&app, id).await?.id.to_string());
    let named = Json(NamedTasks { tasks: vec![id] });
    let (title, text) = match doing {
        Doing::Pause => {
            let axum::Json(done) =
                tasks_control::pause(State(app.clone()), Project(project), actor, job, named).await?;
            match (done.paused, done.held) {
                (0, 0) => ("Nothing to pause", "It has ended, or is paused already."),
                (0, _) => ("Not paused", "A worker has it: it finishes."),
                _ => ("Paused", "It is not handed out until it is resumed."),
            }
        }
        Doing::Resume => {
            let axum::Json(done) =
                tasks_control::resume(State(app.clone()), Project(project), actor, job, named).await?;
            match done.resumed {
                0 => ("Nothing to resume", "It is not paused."),
                _ => ("Resumed", "It is handed out again."),
            }
        }
        Doing::Cancel => {
            let axum::Json(done) =
                tasks_control::cancel(State(app.clone()), Project(project), actor, job, named).await?;
            match (done.cancelled, done.held) {
                (0, _) => ("Nothing to cancel", "It has ended."),
                (_, 0) => ("Cancelled", "It is not handed out any more."),
                _ => ("Cancelled", "The worker that has it drops it; no result of it is taken."),
            }
        }
    };
    let axum::Json(task) = look().await?;
    noticed(&Now::of(task, principal.scope)?, title, text)
}
