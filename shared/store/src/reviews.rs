//! Reviews: what people say of results, beside the verdict and never in its place.

use crate::columns::Place;
use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::TaskId;
use domain::review::Decision;

/// The latest word on a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Review {
    /// What was decided.
    pub decision: Decision,
    /// Why, in the reviewer's words; may be empty.
    pub note: String,
    /// Who.
    pub reviewer: String,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

/// The columns of a result's review, which are null together.
#[derive(sqlx::FromRow)]
pub(crate) struct ReviewColumns {
    decision: Option<String>,
    note: Option<String>,
    reviewer: Option<String>,
    reviewed_at: Option<DateTime<Utc>>,
}

impl ReviewColumns {
    pub(crate) fn read(self, at: Place<'_>) -> Result<Option<Review>, StoreError> {
        let Self { decision: Some(decision), note, reviewer: Some(reviewer), reviewed_at: Some(when) } = self else {
            return Ok(None);
        };
        let decision = at.parse("decision", &decision)?;
        Ok(Some(Review { decision, note: note.unwrap_or_default(), reviewer, at: when }))
    }
}

impl Store {
    /// Sets a result's review, in place of an earlier one. `seen` is when the earlier one was made, as the reviewer saw it (`None`
    /// for none); without it the latest word stands. False if the task has no result, or something else was seen.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.review", skip(self, note))]
    pub async fn review(
        &self,
        task: TaskId,
        decision: Decision,
        note: &str,
        reviewer: &str,
        seen: Option<Option<DateTime<Utc>>>,
    ) -> Result<bool, StoreError> {
        let sql = "-- review
            INSERT INTO reviews AS r (job_seq, no, decision, note, reviewer)
            SELECT job_seq, no, $3, $4, $5 FROM results
            WHERE job_seq = $1 AND no = $2
              AND (NOT $6 OR $7 IS NULL OR EXISTS (SELECT FROM reviews WHERE job_seq = $1 AND no = $2))
            ON CONFLICT (job_seq, no) DO UPDATE SET decision = excluded.decision, note = excluded.note,
                reviewer = excluded.reviewer, at = now()
            WHERE NOT $6 OR r.at = $7";
        let query = sqlx::query(sql).bind(task.job).bind(task.no).bind(decision.name()).bind(note).bind(reviewer);
        let query = query.bind(seen.is_some()).bind(seen.flatten());
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Takes a result's review away. `seen` as in [`Store::review`]. False if there was none, or something else was seen.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unreview", skip(self))]
    pub async fn unreview(&self, task: TaskId, seen: Option<Option<DateTime<Utc>>>) -> Result<bool, StoreError> {
        let sql = "-- unreview\nDELETE FROM reviews WHERE job_seq = $1 AND no = $2 AND (NOT $3 OR at = $4)";
        let query = sqlx::query(sql).bind(task.job).bind(task.no).bind(seen.is_some()).bind(seen.flatten());
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }
}
