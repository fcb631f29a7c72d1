//! What a job's page can do to it: pause, resume, cancel, and try dead tasks again after a dry run has shown which.

use super::filters;
use super::job;
use super::ui::{Form, Fragment, fragment, moved, noticed};
use crate::app::App;
use crate::http::extract::{Actor, Json, Project, parse};
use crate::http::{job_control, job_get, job_retry};
use askama::Template;
use axum::extract::{Path, State};
use domain::JobId;
use domain::job_state::JobEvent;
use wire::http::v1::{Retried, Retry};

/// `POST /ui/jobs/{id}/pause`, `resume` and `cancel`: the moving part of the page after it.
pub async fn control(
    event: JobEvent,
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
) -> Fragment {
    let id: JobId = parse(&id)?;
    let _ = job_control::control(&app, project, &actor, id, event).await?;
    let now = job::now(&app, job_get::find(&app, project, id).await?, super::may()).await?;
    let (title, text) = match event {
        JobEvent::Pause => ("Paused", "What workers have is finished; nothing more is handed out."),
        JobEvent::Resume => ("Resumed", "Tasks are handed out again."),
        _ => ("Cancelled", "Workers drop what they have; no further result is taken."),
    };
    noticed(&now, title, text)
}

/// Which dead tasks.
#[derive(serde::Deserialize)]
pub struct Choice {
    /// Only those dead for this reason; all when empty.
    #[serde(default)]
    reason: String,
}

impl Choice {
    fn retry(&self, dry_run: bool) -> Result<Retry, crate::http::problem::ApiError> {
        let reason = Some(self.reason.as_str()).filter(|r| !r.is_empty()).map(parse).transpose()?;
        Ok(Retry { reason, dry_run })
    }
}

#[derive(Template)]
#[template(path = "redrive.html")]
struct Redrive {
    id: JobId,
    reason: String,
    retried: Retried,
}

/// `POST /ui/jobs/{id}/redrive/dry-run`: what would be tried again, with the button that does it; `POST /ui/jobs/{id}/redrive` does it, and
/// shows the job as it is after that.
pub async fn redrive(
    dry_run: bool,
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
    Form(choice): Form<Choice>,
) -> Fragment {
    let id: JobId = parse(&id)?;
    let retry = Json(choice.retry(dry_run)?);
    let path = Path(id.to_string());
    let axum::Json(retried) = job_retry::handle(State(app.clone()), Project(project), actor, path, retry).await?;
    let told = fragment(&Redrive { id, reason: choice.reason, retried })?;
    if dry_run {
        return Ok(told);
    }
    moved(told, &job::now(&app, job_get::find(&app, project, id).await?, super::may()).await?)
}
