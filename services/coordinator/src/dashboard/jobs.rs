//! `GET /`: jobs, newest first, by state and text; all choices are in the address. Counts are rollups, read once for the page.

use super::filters::{self, address};
use super::progress::Progress;
use super::{Page, render};
use crate::access::Principal;
use crate::app::App;
use crate::http::extract::{Project, Query, cursor, parse};
use crate::http::problem::ApiError;
use askama::Template;
use axum::extract::State;
use domain::ProjectId;
use domain::job_state::JobState;
use store::{JobFilter, JobRow, WorkerState};

/// Rows of a page.
const SHOWN: i64 = 50;

/// What is shown.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Choices {
    /// Only jobs in this state.
    state: Option<String>,
    /// Only jobs with this text in their name, dataset or pack.
    q: Option<String>,
    /// Cursor.
    after: Option<String>,
}

struct Row {
    progress: Progress,
    submitted: String,
    job: JobRow,
}

/// Rows of the table.
#[derive(Template)]
#[template(path = "jobs_rows.html")]
pub struct Rows {
    rows: Vec<Row>,
    /// Whether each replaces the row of its job.
    replacing: bool,
}

impl Rows {
    /// Whether any of them can change soon.
    pub fn is_moving(&self) -> bool {
        self.rows.iter().any(|row| !row.job.state.is_terminal())
    }
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    tab: &'static str,
    rows: String,
    empty: bool,
    filtered: bool,
    /// Which stream shows what changes.
    list: &'static str,
    state: String,
    q: String,
    states: [JobState; 7],
    project: String,
    projects: Vec<String>,
    live_workers: usize,
    next: Option<String>,
}

async fn rows(app: &App, jobs: Vec<JobRow>, replacing: bool) -> Result<Rows, ApiError> {
    let mut counts = app.store.counts_of(&jobs.iter().map(|job| job.seq).collect::<Vec<_>>()).await?;
    let row = |job: JobRow| {
        let progress = Progress::of_store(&counts.remove(&job.seq).unwrap_or_default());
        Row { progress, submitted: job.created_at.format("%F %R").to_string(), job }
    };
    Ok(Rows { rows: jobs.into_iter().map(row).collect(), replacing })
}

/// The newest jobs.
pub async fn newest(app: &App, project: ProjectId, replacing: bool) -> Result<Rows, ApiError> {
    rows(app, app.store.jobs(project, JobFilter::default(), None, SHOWN).await?, replacing).await
}

/// The page.
pub async fn page(
    State(app): State<App>,
    Project(project): Project,
    principal: Principal,
    Query(choices): Query<Choices>,
) -> Page {
    let given = |text: Option<String>| text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let (state, q) = (given(choices.state), given(choices.q));
    let filter = JobFilter { state: state.as_deref().map(parse::<JobState>).transpose()?, text: q.as_deref() };
    let jobs = app.store.jobs(project, filter, cursor(choices.after.as_deref())?, SHOWN).await?;
    let next = jobs.last().filter(|_| jobs.len() as i64 == SHOWN).map(|job| job.seq.to_string());
    let next =
        next.map(|after| address("/", &[("state", state.as_deref()), ("q", q.as_deref()), ("after", Some(&after))]));
    let filtered = state.is_some() || q.is_some();
    let list = if filtered || choices.after.is_some() { "rows" } else { "table" };
    let rows = rows(&app, jobs, false).await?;
    let workers = app.store.workers().await?;
    let all = app.store.projects().await?;
    render(&JobsPage {
        tab: "jobs",
        empty: rows.rows.is_empty(),
        rows: super::render(&rows)?.0,
        filtered,
        list,
        state: state.unwrap_or_default(),
        q: q.unwrap_or_default(),
        states: JobState::ALL,
        project: all.iter().find(|p| p.id == project).map(|p| p.name.clone()).unwrap_or_default(),
        projects: all.into_iter().map(|p| p.name).filter(|name| principal.reach.includes(name)).collect(),
        live_workers: workers.iter().filter(|w| w.state == WorkerState::Live).count(),
        next,
    })
}
