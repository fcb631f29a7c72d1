//! `GET /jobs/{id}/gallery`: source, reconstruction and edit side by side, by edit, verdict and reason.

use super::filters;
use super::{Page, render};
use crate::app::App;
use crate::http::extract::{Project, Query, parse};
use crate::http::{job_get, results};
use askama::Template;
use axum::extract::{Path, State};
use std::collections::BTreeSet;
use store::VerdictKind;
use wire::http::v1::{EditResult, Job};

/// Triples a page.
const SHOWN: u32 = 24;

/// What is shown.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Choices {
    /// Slug of the edit; all when absent.
    pub edit: Option<String>,
    /// `accepted`, `rejected` or `unjudged`; all when absent.
    pub verdict: Option<String>,
    /// Why it was rejected; all when absent.
    pub reason: Option<String>,
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

/// The choices of an address.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    edit: Option<&'a str>,
    verdict: Option<&'a str>,
    reason: Option<&'a str>,
}

/// The gallery's own address with these choices.
fn href(job: &Job, chosen: Chosen<'_>, after: Option<&str>) -> String {
    let Chosen { edit, verdict, reason } = chosen;
    let given = [("edit", edit), ("verdict", verdict), ("reason", reason), ("after", after)];
    let query: Vec<String> =
        given.iter().filter_map(|(name, value)| value.map(|v| format!("{name}={}", percent(v)))).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/jobs/{}/gallery{mark}{}", job.id, query.join("&"))
}

/// Percent-encodes all but unreserved characters (RFC 3986): slugs may hold letters of any script.
pub fn percent(text: &str) -> String {
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
        reason: choices.reason.clone(),
        after: choices.after.clone(),
        limit: Some(SHOWN),
    };
    let page = results::list(&app, &row, &filter).await?;
    let job = job_get::view(&app, row).await?;
    let now = Chosen {
        edit: choices.edit.as_deref(),
        verdict: choices.verdict.as_deref(),
        reason: choices.reason.as_deref(),
    };
    let choice =
        |name: &str, to: Chosen<'_>, chosen: bool| Choice { name: name.to_owned(), href: href(&job, to, None), chosen };
    let mut edits = vec![choice("all edits", Chosen { edit: None, ..now }, now.edit.is_none())];
    edits.extend(job.edits.iter().map(|came| {
        let edit = Some(came.edit.as_str());
        choice(&came.edit, Chosen { edit, ..now }, now.edit == edit)
    }));
    let mut verdicts = vec![choice(
        "any verdict",
        Chosen { verdict: None, reason: None, ..now },
        now.verdict.is_none() && now.reason.is_none(),
    )];
    verdicts.extend(VerdictKind::ALL.map(|kind| {
        let verdict = Some(kind.name());
        choice(kind.name(), Chosen { verdict, reason: None, ..now }, now.verdict == verdict)
    }));
    // only the reasons that there are
    let reasons: BTreeSet<_> = job.edits.iter().flat_map(|came| came.reasons.keys()).collect();
    verdicts.extend(reasons.into_iter().map(|why| {
        let reason = Some(why.name());
        choice(why.name(), Chosen { verdict: None, reason, ..now }, now.reason == reason)
    }));
    let next = page.next.as_deref().map(|after| href(&job, now, Some(after)));
    render(&GalleryPage { tab: "jobs", edits, verdicts, results: page.items, next, job })
}
