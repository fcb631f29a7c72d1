//! `POST /ui/jobs/preview`: tries a form on the first image that its edits select, as a small job of its own through the ordinary way;
//! `GET /ui/jobs/{id}/preview`: what has come of it. A mapper that it trains is found again by the whole job.

use super::filters;
use super::new_job::JobForm;
use super::ui::{Form, Fragment, fragment};
use crate::app::App;
use crate::http::extract::{Actor, Project, parse};
use crate::http::problem::internal;
use crate::http::{job_get, jobs_submit, results};
use askama::Template;
use axum::extract::{Path, State};
use domain::ProjectId;
use store::JobRow;
use wire::http::v1::{EditResult, Job};

/// Before what waits: somebody looks at the page.
const PRIORITY: i16 = 100;
/// A form that has not changed for so long is tried again.
const KEPT_SECONDS: i64 = 600;

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview {
    results: Vec<EditResult>,
    wanted: usize,
    job: Job,
}

async fn shown(app: &App, row: JobRow) -> Fragment {
    let wanted = row.spec.edits.len();
    let filter = results::Filter { limit: u32::try_from(wanted).ok(), ..results::Filter::default() };
    let results = results::list(app, &row, &filter).await?.items;
    fragment(&Preview { results, wanted, job: job_get::view(app, row).await? })
}

/// Submits the small job.
pub async fn start(
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Form(form): Form<JobForm>,
) -> Fragment {
    let mut spec = form.spec()?;
    for edit in &mut spec.edits {
        edit.only.limit = Some(1);
    }
    spec.strengths.truncate(1);
    spec.seeds.truncate(1);
    spec.priority = PRIORITY;
    spec.name = "preview".to_owned();
    let digest = domain::digest_of(&spec).map_err(|error| internal("computing a digest", &error))?;
    let key = format!("preview-{digest}-{}", chrono::Utc::now().timestamp() / KEPT_SECONDS);
    let (_, job) = jobs_submit::submit(&app, project, &actor, key, spec).await?;
    let row: JobRow = job_get::find(&app, project, job.id).await?;
    shown(&app, row).await
}

/// What has come of it.
pub async fn look(State(app): State<App>, Project(project): Project, Path(id): Path<String>) -> Fragment {
    let project: ProjectId = project;
    shown(&app, job_get::find(&app, project, parse(&id)?).await?).await
}
