//! `GET /jobs/{id}`: one job, live.

use super::progress::Progress;
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Project, parse};
use crate::http::{job_get, tasks};
use askama::Template;
use axum::extract::{Path, State};
use domain::Stage;
use domain::task_state::TASK_STATES;
use wire::http::v1::{EditYield, Job, Task};

struct StageRow {
    name: &'static str,
    counts: Vec<i64>,
}

struct EditRow {
    text: String,
    neutral: String,
    /// Accepted of those judged, for people: `93.4 %`.
    share: Option<String>,
    came: EditYield,
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    tab: &'static str,
    progress: Progress,
    submitted: String,
    finished: Option<String>,
    seconds: String,
    states: [&'static str; 8],
    stages: Vec<StageRow>,
    edits: Vec<EditRow>,
    dead: Vec<Task>,
    job: Job,
}

/// Dead tasks shown on the page; the rest is in `/v1/jobs/{id}/tasks?state=dead`.
const DEAD_SHOWN: u32 = 50;

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Path(id): Path<String>) -> Page {
    let row = job_get::find(&app, project, parse(&id)?).await?;
    let filter = tasks::Filter { state: Some("dead".to_owned()), stage: None, after: None, limit: Some(DEAD_SHOWN) };
    let dead = tasks::list(&app, &row, &filter).await?.items;
    let job = job_get::view(&app, row).await?;
    let stages = Stage::ALL
        .into_iter()
        .map(|stage| StageRow {
            name: stage.name(),
            counts: TASK_STATES.iter().map(|state| job.count(Some(stage), state)).collect(),
        })
        .filter(|row| row.counts.iter().any(|n| *n != 0))
        .collect();
    let edits = job.spec.edits.iter().zip(&job.edits).map(|(edit, came)| EditRow {
        text: edit.text.clone(),
        neutral: edit.neutral.clone(),
        share: came.accepted_yield.map(|share| format!("{:.1} %", 100.0 * share)),
        came: came.clone(),
    });
    let edits = edits.collect();
    render(&JobPage {
        tab: "jobs",
        progress: Progress::of(&job),
        submitted: job.created_at.format("%F %T").to_string(),
        finished: job.finished_at.map(|at| at.format("%F %T").to_string()),
        seconds: format!("{:.1}", job.gpu_ms / 1000.0),
        states: TASK_STATES,
        stages,
        edits,
        dead,
        job,
    })
}
