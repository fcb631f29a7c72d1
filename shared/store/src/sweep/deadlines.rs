//! Jobs past their deadline: what was not begun is cancelled, what runs is finished.

use crate::counts::deltas_of_moved;
use crate::error::retrying;
use crate::{Store, StoreError};
use serde_json::json;

/// What a step of the deadline sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Expired {
    /// The job it worked on, if any is past its deadline.
    pub job_seq: Option<i64>,
    /// Tasks that were cancelled.
    pub tasks: u64,
}

impl Store {
    /// Cancels up to `limit` tasks of one job past its deadline that are ready, blocked, paused or in back-off, and notes in the audit log
    /// when a job is first met here. A job whose tasks have all ended is settled as any other: partial if some succeeded.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.expire_slice", skip(self))]
    pub async fn expire_slice(&self, limit: i64) -> Result<Expired, StoreError> {
        let sql = "-- expire_slice: job
            SELECT seq FROM jobs j WHERE deadline <= now() AND state IN ('accepting', 'active', 'paused')
                AND EXISTS (SELECT FROM tasks t WHERE t.job_seq = j.seq AND (t.state IN ('blocked', 'ready', 'retry_wait') OR t.state = 'paused'))
            ORDER BY deadline LIMIT 1";
        let Some(job_seq): Option<i64> = sqlx::query_scalar(sql).fetch_optional(&self.pool).await? else {
            return Ok(Expired::default());
        };
        let tasks = retrying!(self.expire_slice_of(job_seq, limit).await)?;
        Ok(Expired { job_seq: Some(job_seq), tasks })
    }

    async fn expire_slice_of(&self, job_seq: i64, limit: i64) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        let note = "-- expire_slice: note
            WITH noted AS (
                UPDATE jobs SET expired_at = now() WHERE seq = $1 AND expired_at IS NULL AND deadline <= now()
                RETURNING id, project, deadline)
            INSERT INTO audit_log (actor, project, action, subject, detail)
            SELECT 'coordinator', project, 'job.deadline', 'job_' || replace(id::text, '-', ''), $2 || jsonb_build_object('deadline', deadline)
            FROM noted";
        sqlx::query(note).bind(job_seq).bind(json!({ "job_seq": job_seq })).execute(&mut *tx).await?;
        let sql = concat!(
            "-- expire_slice
            WITH held AS (
                SELECT t.job_seq, t.no, t.state AS was FROM tasks t
                WHERE t.job_seq = $1 AND (t.state IN ('blocked', 'ready', 'retry_wait') OR t.state = 'paused')
                    AND EXISTS (SELECT FROM jobs WHERE seq = $1 AND deadline <= now())
                LIMIT $2 FOR UPDATE OF t),
            moved AS (
                UPDATE tasks t SET state = 'cancelled', cancelled_for = 'deadline', next_at = NULL, reason = NULL, detail = NULL,
                    updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.no, t.key, t.stage, h.was, t.state, t.reason, 0::float8 AS gpu_ms, 0::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            ",
            orphaned AS (
                UPDATE stage_artifacts a SET state = 'orphaned' FROM moved m
                WHERE m.stage <> 'edit' AND a.key = m.key AND a.state = 'pending'
                    AND a.producer_job = m.job_seq AND a.producer_no = m.no)
            SELECT count(*) FROM moved"
        );
        let moved: i64 = sqlx::query_scalar(sql).bind(job_seq).bind(limit).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(moved.cast_unsigned())
    }
}
