//! Who did what: operators' actions, kept beside the data they changed.

use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use serde_json::Value;

/// One entry of the audit log.
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
pub struct AuditEntry {
    /// Grows with time.
    pub id: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What, for example `job.cancel`.
    pub action: String,
    /// To what, for example a job id.
    pub subject: String,
    /// More.
    pub detail: Value,
}

impl Store {
    /// Writes an entry.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.audit", skip(self, detail))]
    pub async fn audit(&self, actor: &str, action: &str, subject: &str, detail: &Value) -> Result<(), StoreError> {
        let sql = "-- audit\nINSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, $2, $3, $4)";
        sqlx::query(sql).bind(actor).bind(action).bind(subject).bind(detail).execute(&self.pool).await?;
        Ok(())
    }

    /// The latest entries before `before` (all if absent), newest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.audit_log", skip(self))]
    pub async fn audit_log(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditEntry>, StoreError> {
        let sql = "-- audit_log
            SELECT id, at, actor, action, subject, detail FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2";
        Ok(sqlx::query_as(sql).bind(before.unwrap_or(i64::MAX)).bind(limit).fetch_all(&self.pool).await?)
    }
}
