//! `GET /datasets`: what is registered, and how imports go.

use super::{Page, render};
use crate::app::App;
use crate::http::datasets_list;
use crate::http::extract::{Paging, Project, Query};
use askama::Template;
use axum::extract::State;
use wire::http::v1::Dataset;

#[derive(Template)]
#[template(path = "datasets.html")]
struct DatasetsPage {
    tab: &'static str,
    datasets: Vec<Dataset>,
    importing: bool,
    next: Option<String>,
}

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Query(paging): Query<Paging>) -> Page {
    let page = datasets_list::list(&app, project, &paging).await?;
    let importing = page.items.iter().any(|d| d.importing);
    render(&DatasetsPage { tab: "datasets", datasets: page.items, importing, next: page.next })
}
