//! `GET /v1/audit`, and how the other endpoints write to the log.

use super::extract::{Actor, Paging, Query, cursor, limit};
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use wire::http::v1::{AuditEntry, Page};

/// Notes that somebody changed something. Written after the change: a request that is cut off between the two leaves a change
/// without its entry, never an entry without its change.
pub async fn note(
    app: &App,
    actor: &Actor,
    action: &str,
    subject: impl ToString + Send,
    detail: Value,
) -> Result<(), ApiError> {
    let subject = subject.to_string();
    tracing::info!(actor = actor.0, action, subject, %detail, "changed by request");
    Ok(app.store.audit(&actor.0, action, &subject, &detail).await?)
}

/// One page, newest first.
pub async fn handle(State(app): State<App>, Query(paging): Query<Paging>) -> Result<Json<Page<AuditEntry>>, ApiError> {
    let limit = limit(paging.limit);
    let rows = app.store.audit_log(cursor(paging.after.as_deref())?, limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.id.to_string());
    let view = |row: store::AuditEntry| AuditEntry {
        id: row.id,
        at: row.at,
        actor: row.actor,
        action: row.action,
        subject: row.subject,
        detail: row.detail,
    };
    Ok(Json(Page { items: rows.into_iter().map(view).collect(), next }))
}
