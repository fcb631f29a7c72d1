//! `GET /`: all jobs, newest first.

use super::progress::Progress;
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Paging, Project, Query};
use crate::http::{jobs_list, workers};
use askama::Template;
use axum::extract::State;
use wire::http::v1::Job;

struct Row {
    progress: Progress,
    submitted: String,
    job: Job,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    tab: &'static str,
    rows: Vec<Row>,
    live_workers: usize,
    next: Option<String>,
}

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Query(paging): Query<Paging>) -> Page {
    let filter = jobs_list::Filter { after: paging.after, limit: Some(50), state: None };
    let page = jobs_list::list(&app, project, &filter).await?;
    let live_workers = workers::list(&app).await?.iter().filter(|w| w.state == "live").count();
    let row =
        |job: Job| Row { progress: Progress::of(&job), submitted: job.created_at.format("%F %R").to_string(), job };
    render(&JobsPage { tab: "jobs", rows: page.items.into_iter().map(row).collect(), live_workers, next: page.next })
}
