//! `GET /workers`: every process heard of lately.

use super::{Page, render};
use crate::app::App;
use crate::http::workers;
use askama::Template;
use axum::extract::State;
use wire::http::v1::Worker;

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    tab: &'static str,
    workers: Vec<Worker>,
}

/// The page.
pub async fn page(State(app): State<App>) -> Page {
    render(&WorkersPage { tab: "workers", workers: workers::list(&app).await? })
}
