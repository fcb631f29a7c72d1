//! `GET /datasets`: what is registered, and how imports go; `GET /datasets/{name}`: its images.

use super::filters::{self, address};
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Paging, Project, Query};
use crate::http::problem::ApiError;
use crate::http::{datasets_list, sources};
use askama::Template;
use axum::extract::{Path, State};
use wire::http::v1::{Dataset, Source};

/// Images of a page.
const SHOWN: u32 = 60;

#[derive(Template)]
#[template(path = "datasets.html")]
struct DatasetsPage {
    tab: &'static str,
    datasets: Vec<Dataset>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "dataset.html")]
struct DatasetPage {
    tab: &'static str,
    dataset: Dataset,
    sources: Vec<Source>,
    next: Option<String>,
}

/// The list.
pub async fn page(State(app): State<App>, Project(project): Project, Query(paging): Query<Paging>) -> Page {
    let page = datasets_list::list(&app, project, &paging).await?;
    render(&DatasetsPage { tab: "datasets", datasets: page.items, next: page.next })
}

/// One.
pub async fn one(
    State(app): State<App>,
    Project(project): Project,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Page {
    let missing = || ApiError::NotFound(format!("there is no dataset '{name}'"));
    let dataset = datasets_list::view(app.store.dataset(project, &name).await?.ok_or_else(missing)?);
    let asked = Paging { after: paging.after, limit: Some(SHOWN) };
    let page = sources::page(&app, dataset.id, &asked).await?;
    let next = page.next.map(|after| address(&format!("/datasets/{name}"), &[("after", Some(&after))]));
    render(&DatasetPage { tab: "datasets", dataset, sources: page.items, next })
}
