//! `GET /jobs/{id}`: one job, live.

use super::filters::{self, span};
use super::limits::LimitsForm;
use super::progress::Progress;
use super::throughput::{self, Throughput};
use super::{Page, render};
use crate::access::May;
use crate::app::App;
use crate::http::extract::{Project, parse};
use crate::http::problem::{ApiError, internal};
use crate::http::{job_get, tasks};
use askama::Template;
use axum::extract::{Path, State};
use domain::Stage;
use domain::job_state::JobState;
use store::JobRow;
use wire::http::v1::{EditYield, Eta, Job, Stall, Task};

/// A stage with its tasks.
struct StageRow {
    name: &'static str,
    progress: Progress,
    done: i64,
    total: i64,
    running: i64,
    waiting: i64,
    retrying: i64,
    dead: i64,
    per_minute: Option<String>,
    seconds: Option<String>,
}

struct EditRow {
    text: String,
    neutral: String,
    /// Accepted of those judged, for people: `93.4 %`.
    share: Option<String>,
    came: EditYield,
}

/// What moves.
#[derive(Template)]
#[template(path = "job_now.html")]
pub struct Now {
    progress: Progress,
    finished: Option<String>,
    spent: String,
    saved: Option<String>,
    stages: Vec<StageRow>,
    edits: Vec<EditRow>,
    dead: Vec<Task>,
    more_dead: i64,
    rate: Option<String>,
    left: Option<(String, String)>,
    stall: Option<Stall>,
    throughput: Throughput,
    /// For whoever may set them, while that means something.
    limits: Option<LimitsForm>,
    may: May,
    job: Job,
}

impl Now {
    /// Whether it can change soon.
    pub fn is_moving(&self) -> bool {
        !self.job.state.is_terminal()
    }

    fn can_cancel(&self) -> bool {
        self.may.operate && self.is_moving()
    }

    fn can_pause(&self) -> bool {
        self.may.operate && matches!(self.job.state, JobState::Accepting | JobState::Active)
    }

    fn can_resume(&self) -> bool {
        self.may.operate && self.job.state == JobState::Paused
    }

    fn dead_tasks(&self) -> i64 {
        self.progress.done("dead")
    }

    fn can_redrive(&self) -> bool {
        self.may.operate && self.dead_tasks() > 0 && self.job.state != JobState::Cancelled
    }
}

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    tab: &'static str,
    submitted: String,
    submitted_by: Option<String>,
    now: String,
    name: String,
    seals: Vec<store::SealRow>,
    spec: String,
    job: JobRow,
}

/// Dead tasks shown on the page; the rest is in `/v1/jobs/{id}/tasks?state=dead`.
const DEAD_SHOWN: u32 = 20;

/// The job as it is now, for somebody who may do this.
pub async fn now(app: &App, row: JobRow, may: May) -> Result<Now, ApiError> {
    let filter = tasks::Filter { state: Some("dead".to_owned()), stage: None, after: None, limit: Some(DEAD_SHOWN) };
    let dead = tasks::list(app, &row, &filter).await?.items;
    let throughput = throughput::of(app, &row).await?;
    let limits = (may.operate && !row.state.is_terminal()).then(|| LimitsForm::of(&row));
    let job = job_get::detailed(app, row).await?;
    Ok(Now { limits, may, ..of(job, dead, throughput) })
}

fn of(job: Job, dead: Vec<Task>, throughput: Throughput) -> Now {
    let progress = Progress::of(&job);
    let known = job.progress.as_ref();
    let stage = |stage: Stage| {
        let told = known.and_then(|p| p.stages.iter().find(|s| s.stage == stage));
        let progress = Progress::of_stage(&job, stage);
        StageRow {
            name: stage.name(),
            done: progress.done("succeeded"),
            total: progress.total,
            running: progress.done("running") + progress.done("dispatched"),
            waiting: progress.done("ready") + progress.done("blocked") + progress.done("paused"),
            retrying: progress.done("retry_wait"),
            dead: progress.done("dead"),
            per_minute: told.and_then(|s| s.per_minute).map(|rate| format!("{rate:.1}")),
            seconds: told.and_then(|s| s.estimate_gpu_seconds).map(span),
            progress,
        }
    };
    let stages = Stage::ALL.into_iter().map(stage).filter(|row| row.total != 0).collect();
    let edits = job.spec.edits.iter().zip(&job.edits).map(|(edit, came)| EditRow {
        text: edit.text.clone(),
        neutral: edit.neutral.clone(),
        share: came.accepted_yield.map(|share| format!("{:.1} %", 100.0 * share)),
        came: came.clone(),
    });
    Now {
        finished: job.finished_at.map(|at| at.format("%F %T").to_string()),
        spent: span(known.map_or(job.gpu_ms / 1000.0, |p| p.gpu_seconds_spent)),
        saved: known.map(|p| p.gpu_seconds_saved).filter(|s| *s > 0.0).map(span),
        stages,
        edits: edits.collect(),
        more_dead: progress.done("dead") - dead.len() as i64,
        dead,
        rate: rate(&job),
        left: known.and_then(|p| p.eta).map(left),
        stall: known.and_then(|p| p.stall.clone()),
        throughput,
        limits: None,
        may: May::default(),
        progress,
        job,
    }
}

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Path(id): Path<String>) -> Page {
    let row = job_get::find(&app, project, parse(&id)?).await?;
    let seals = app.store.seals(row.seq).await?;
    let now = now(&app, row.clone(), super::may()).await?;
    render(&JobPage {
        tab: "jobs",
        submitted: row.created_at.format("%F %T").to_string(),
        submitted_by: row.submitted_by.clone(),
        now: super::render(&now)?.0,
        name: row.spec.name.clone(),
        spec: serde_json::to_string_pretty(&row.spec).map_err(|e| internal("writing a specification", &e))?,
        seals,
        job: row,
    })
}

/// Tasks of all stages per minute, while it runs.
fn rate(job: &Job) -> Option<String> {
    let progress = job.progress.as_ref().filter(|_| !job.state.is_terminal())?;
    let rates: Vec<f64> = progress.stages.iter().filter_map(|stage| stage.per_minute).collect();
    (!rates.is_empty()).then(|| format!("{:.1}", rates.iter().sum::<f64>()))
}

/// The time left, and its band: `12 min`, `9 min to 20 min`.
fn left(eta: Eta) -> (String, String) {
    (span(eta.seconds), format!("{} to {}", span(eta.low), span(eta.high)))
}
