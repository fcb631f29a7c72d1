//! Who did what: operators' actions, kept beside the data they changed.

use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::ProjectId;
use serde_json::Value;

/// One entry of the audit log.
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
pub struct AuditEntry {
    /// Grows with time.
    pub id: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who: a key by name and id, or what else proved itself.
    pub actor: String,
    /// What the client called itself, which nobody checked.
    pub said: Option<String>,
    /// Name of the project it was done in or to.
    pub project: Option<String>,
    /// What, for example `job.cancel`.
    pub action: String,
    /// To what, for example a job id.
    pub subject: String,
    /// More.
    pub detail: Value,
}

/// Something that was done.
#[derive(Clone, Copy, Debug)]
pub struct Deed<'a> {
    /// Who did it.
    pub actor: &'a str,
    /// What the client called itself.
    pub said: Option<&'a str>,
    /// The project it was done in or to; `None` for what concerns the installation.
    pub project: Option<ProjectId>,
    /// What.
    pub action: &'a str,
    /// To what.
    pub subject: &'a str,
    /// More.
    pub detail: &'a Value,
}

impl Store {
    /// Writes an entry.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.audit", skip_all)]
    pub async fn audit(&self, deed: Deed<'_>) -> Result<(), StoreError> {
        let sql = "-- audit
            INSERT INTO audit_log (actor, said, project, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(sql)
            .bind(deed.actor)
            .bind(deed.said)
            .bind(deed.project.map(|project| project.as_uuid()))
            .bind(deed.action)
            .bind(deed.subject)
            .bind(deed.detail)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The latest entries before `before` (all if absent), newest first; only those about the projects named, unless that is `None`.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.audit_log", skip(self))]
    pub async fn audit_log(
        &self,
        projects: Option<&[String]>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "-- audit_log
            SELECT a.id, a.at, a.actor, a.said, p.name AS project, a.action, a.subject, a.detail
            FROM audit_log a LEFT JOIN projects p ON p.id = a.project
            WHERE a.id < $2 AND ($1::text[] IS NULL OR a.project IN (SELECT id FROM projects WHERE name = ANY($1)))
            ORDER BY a.id DESC LIMIT $3";
        let rows = sqlx::query_as(sql).bind(projects).bind(before.unwrap_or(i64::MAX)).bind(limit);
        Ok(rows.fetch_all(&self.pool).await?)
    }
}
