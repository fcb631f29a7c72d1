//! `GET /results/{task}`: one output with its record.

use super::filters;
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Project, parse};
use crate::http::problem::internal;
use crate::http::{record, results};
use askama::Template;
use axum::extract::{Path, State};
use wire::http::v1::EditResult;

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage {
    tab: &'static str,
    record: String,
    result: EditResult,
}

/// The page.
pub async fn page(State(app): State<App>, Project(project): Project, Path(task): Path<String>) -> Page {
    let result = results::find(&app, project, parse(&task)?).await?;
    let record = record::find(&app, result.record).await?;
    let record = serde_json::to_string_pretty(&record).map_err(|e| internal("writing a record", &e))?;
    render(&ResultPage { tab: "jobs", record, result })
}
