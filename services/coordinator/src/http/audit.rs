//! `GET /v1/audit`, and how the other endpoints write to the log.

use super::extract::{Actor, KnownQuery, Paging, cursor, limit};
use super::problem::ApiError;
use crate::access::Principal;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use store::Deed;
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
    let Actor { name, said, project } = actor;
    tracing::info!(actor = name, said, action, subject, %detail, "changed by request");
    let deed =
        Deed { actor: name, said: said.as_deref(), project: *project, action, subject: &subject, detail: &detail };
    Ok(app.store.audit(deed).await?)
}

/// One page, newest first: of the installation, or of the key's project.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "list_audit_entries",
    tag = "operations",
    params(Paging),
    responses((status = 200, description = "A page, newest first.", body = Page<AuditEntry>)),
)]
pub async fn handle(
    State(app): State<App>,
    principal: Principal,
    KnownQuery(paging): KnownQuery<Paging>,
) -> Result<Json<Page<AuditEntry>>, ApiError> {
    let limit = limit(paging.limit)?;
    let rows = app.store.audit_log(principal.reach.names(), cursor(paging.after.as_deref())?, limit).await?;
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.id.to_string());
    let view = |row: store::AuditEntry| AuditEntry {
        id: row.id,
        at: row.at,
        actor: row.actor,
        said: row.said,
        project: row.project,
        action: row.action,
        subject: row.subject,
        detail: row.detail,
    };
    Ok(Json(Page { items: rows.into_iter().map(view).collect(), next }))
}
