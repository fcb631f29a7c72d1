//! Attempts: hand-outs that did not end in success, as they are read.

use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::ids::Epoch;
use domain::{BootId, TaskId};
use uuid::Uuid;

/// A hand-out that ended without a result. Forgotten after a while; results and records are not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Its number among the task's hand-outs.
    pub epoch: Epoch,
    /// The worker, if it was started.
    pub boot: Option<BootId>,
    /// When its start was heard.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// `failed`, `lost` or `yielded`.
    pub outcome: String,
    /// Why.
    pub reason: Option<String>,
    /// The same in a sentence.
    pub detail: Option<String>,
}

type Row = (i64, Option<Uuid>, Option<DateTime<Utc>>, DateTime<Utc>, String, Option<String>, Option<String>);

impl Store {
    /// The task's attempts, in order, the latest 100 at most.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.attempts", skip(self))]
    pub async fn attempts(&self, task: TaskId) -> Result<Vec<Attempt>, StoreError> {
        let sql = "-- attempts
            SELECT epoch, boot, started_at, ended_at, outcome, reason, detail FROM attempts
            WHERE job_seq = $1 AND no = $2 ORDER BY epoch DESC LIMIT 100";
        let mut rows: Vec<Row> = sqlx::query_as(sql).bind(task.job).bind(task.no).fetch_all(&self.pool).await?;
        rows.reverse();
        let attempt = |(epoch, boot, started_at, ended_at, outcome, reason, detail): Row| Attempt {
            epoch,
            boot: boot.map(BootId::from_uuid),
            started_at,
            ended_at,
            outcome,
            reason,
            detail,
        };
        Ok(rows.into_iter().map(attempt).collect())
    }
}
