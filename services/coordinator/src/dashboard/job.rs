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
use wire::http::v1::{EditYield, Eta, Job, Stall, Task};

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
    states: [&'static str; 9],
    stages: Vec<StageRow>,
    edits: Vec<EditRow>,
    dead: Vec<Task>,
    rate: Option<String>,
    left: Option<String>,
    saved: Option<String>,
    stall: Option<Stall>,
    job: Job,
}

/// Dead tasks shown on the page; the rest is in `/v1/jobs/{id}/tasks?state=dead`.
const DEAD_SHOWN: u32 = 50;

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Path(id): Path<String>) -> Page {
    let row = job_get::find(&app, project, parse(&id)?).await?;
    let filter = tasks::Filter { state: Some("dead".to_owned()), stage: None, after: None, limit: Some(DEAD_SHOWN) };
    let dead = tasks::list(&app, &row, &filter).await?.items;
    let job = job_get::detailed(&app, row).await?;
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
        rate: rate(&job),
        left: job.progress.as_ref().and_then(|p| p.eta).map(left),
        saved: job.progress.as_ref().map(|p| p.gpu_seconds_saved).filter(|s| *s > 0.0).map(|s| format!("{s:.1}")),
        stall: job.progress.as_ref().and_then(|p| p.stall.clone()),
        job,
    })
}

/// Tasks of all stages per minute, while it runs.
fn rate(job: &Job) -> Option<String> {
    let progress = job.progress.as_ref().filter(|_| !job.state.is_terminal())?;
    let rates: Vec<f64> = progress.stages.iter().filter_map(|stage| stage.per_minute).collect();
    (!rates.is_empty()).then(|| format!("{:.1}", rates.iter().sum::<f64>()))
}

/// The time left with its band: `12 min (9 min to 20 min)`.
fn left(eta: Eta) -> String {
    format!("{} ({} to {})", span(eta.seconds), span(eta.low), span(eta.high))
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
