//! `GET /audit`: who changed what, newest first.

use super::{Page, render};
use crate::access::Principal;
use crate::app::App;
use crate::http::audit;
use crate::http::extract::{KnownQuery, Paging, Query};
use askama::Template;
use axum::extract::State;
use wire::http::v1::AuditEntry;

struct Row {
    detail: String,
    href: Option<String>,
    entry: AuditEntry,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    tab: &'static str,
    rows: Vec<Row>,
    next: Option<String>,
}

fn row(entry: AuditEntry) -> Row {
    let fields = entry.detail.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let detail: Vec<String> = fields.map(|(name, value)| format!("{name}: {}", text(value))).collect();
    let href = match entry.action.split('.').next() {
        Some("job") => Some(format!("/jobs/{}", entry.subject)),
        Some("result") => Some(format!("/results/{}", entry.subject)),
        _ => None,
    };
    Row { detail: detail.join(" · "), href, entry }
}

/// The page.
pub async fn page(State(app): State<App>, principal: Principal, Query(paging): Query<Paging>) -> Page {
    let axum::Json(page) = audit::handle(State(app), principal, KnownQuery(paging)).await?;
    render(&AuditPage { tab: "audit", rows: page.items.into_iter().map(row).collect(), next: page.next })
}
