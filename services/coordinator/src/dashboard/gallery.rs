//! `GET /jobs/{id}/gallery`: source, reconstruction and edit side by side, by edit and verdict.

use super::filters;
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Project, Query, parse};
use crate::http::{job_get, results};
use askama::Template;
use axum::extract::{Path, State};
use wire::http::v1::{EditResult, Job};

/// Triples a page.
const SHOWN: u32 = 24;

/// What is shown.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Choices {
    /// Slug of the edit; all when absent.
    pub edit: Option<String>,
    /// `accept` or `reject`; all when absent.
    pub verdict: Option<String>,
    /// Cursor.
    pub after: Option<String>,
}

struct Choice {
    name: String,
    href: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "gallery.html")]
struct GalleryPage {
    tab: &'static str,
    edits: Vec<Choice>,
    verdicts: Vec<Choice>,
    results: Vec<EditResult>,
    next: Option<String>,
    job: Job,
}

/// The gallery's own address with these choices.
fn href(job: &Job, edit: Option<&str>, verdict: Option<&str>, after: Option<&str>) -> String {
    let given = [("edit", edit), ("verdict", verdict), ("after", after)];
    let query: Vec<String> =
        given.iter().filter_map(|(name, value)| value.map(|v| format!("{name}={}", percent(v)))).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/jobs/{}/gallery{mark}{}", job.id, query.join("&"))
}

/// Percent-encodes all but unreserved characters (RFC 3986): slugs may hold letters of any script.
fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The page.
pub async fn page(
    State(app): State<App>,
    Project(project): Project,
    Path(id): Path<String>,
    Query(choices): Query<Choices>,
) -> Page {
    let row = job_get::find(&app, project, parse(&id)?).await?;
    let filter = results::Filter {
        edit: choices.edit.clone(),
        verdict: choices.verdict.clone(),
        after: choices.after.clone(),
        limit: Some(SHOWN),
    };
    let page = results::list(&app, &row, &filter).await?;
    let job = job_get::view(&app, row).await?;
    let (edit, verdict) = (choices.edit.as_deref(), choices.verdict.as_deref());
    let by_edit = |name: String, value: Option<&str>| Choice {
        name,
        href: href(&job, value, verdict, None),
        chosen: value == edit,
    };
    let by_verdict = |name: &str, value: Option<&str>| Choice {
        name: name.to_owned(),
        href: href(&job, edit, value, None),
        chosen: value == verdict,
    };
    let slugs = job.spec.edits.iter().map(domain::edit::EditSpec::slug);
    let mut edits = vec![by_edit("all edits".to_owned(), None)];
    edits.extend(slugs.map(|slug| by_edit(slug.clone(), Some(&slug))));
    let verdicts = vec![
        by_verdict("any verdict", None),
        by_verdict("accepted", Some("accept")),
        by_verdict("rejected", Some("reject")),
    ];
    let next = page.next.as_deref().map(|after| href(&job, edit, verdict, Some(after)));
    render(&GalleryPage { tab: "jobs", edits, verdicts, results: page.items, next, job })
}
