//! Single tasks held back and let go on a user's word.

use crate::counts::deltas_of_moved;
use crate::error::retrying;
use crate::job_control::lock_job;
use crate::redrive::rearm_revived;
use crate::{Store, StoreError};

/// What pausing tasks did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PausedTasks {
    /// Tasks that are paused now.
    pub paused: u64,
    /// Named tasks that workers have: they finish.
    pub held: u64,
}

impl Store {
    /// Keeps named tasks of the job from being handed out until they are resumed: those that are ready, blocked or in back-off. What
    /// waits for a paused inversion or training waits on, in other jobs too.
    ///
    /// # Errors
    /// When the database fails; then nothing is paused.
    #[tracing::instrument(name = "db.pause_tasks", skip(self, nos), fields(n = nos.len()))]
    pub async fn pause_tasks(&self, job_seq: i64, nos: &[i32]) -> Result<PausedTasks, StoreError> {
        let sql = concat!(
            "-- pause_tasks
            WITH named AS (
                SELECT no, state AS was FROM tasks
                -- as text: see the module `outcomes`
                WHERE job_seq = $1 AND no = ANY($2) AND state::text IN ('blocked', 'ready', 'retry_wait', 'dispatched', 'running')
                ORDER BY no FOR UPDATE),
            moved AS (
                UPDATE tasks t SET state = 'paused', next_at = NULL, reason = NULL, detail = NULL, updated_at = now()
                FROM named n WHERE t.job_seq = $1 AND t.no = n.no AND n.was IN ('blocked', 'ready', 'retry_wait')
                RETURNING t.job_seq, t.stage, n.was, t.state, t.reason, 0::float8 AS gpu_ms, 0::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            "
            SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM named WHERE was IN ('dispatched', 'running'))"
        );
        let (paused, held): (i64, i64) = retrying!(
            sqlx::query_as(sql).bind(job_seq).bind(nos).fetch_one(&self.pool).await.map_err(StoreError::from)
        )?;
        Ok(PausedTasks { paused: paused.cast_unsigned(), held: held.cast_unsigned() })
    }

    /// Lets paused tasks among the named ones go on: ready, or blocked if what they need is not there yet. Returns how many.
    ///
    /// # Errors
    /// When the database fails; then nothing is resumed.
    #[tracing::instrument(name = "db.resume_tasks", skip(self, nos), fields(n = nos.len()))]
    pub async fn resume_tasks(&self, job_seq: i64, nos: &[i32]) -> Result<u64, StoreError> {
        retrying!(self.try_resume_tasks(job_seq, nos).await)
    }

    async fn try_resume_tasks(&self, job_seq: i64, nos: &[i32]) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        // a job that ends meanwhile waits for us, or has none left that is paused
        lock_job(&mut tx, job_seq).await?;
        let sql = concat!(
            "-- resume_tasks
            WITH held AS (
                SELECT no FROM tasks WHERE job_seq = $1 AND no = ANY($2) AND state::text = 'paused' ORDER BY no FOR UPDATE),
            moved AS (
                -- an edit is blocked until it is looked whether its latent is there
                UPDATE tasks t SET state = CASE WHEN t.stage = 'edit' THEN 'blocked' ELSE 'ready' END::task_state, updated_at = now()
                FROM held h WHERE t.job_seq = $1 AND t.no = h.no
                RETURNING t.job_seq, t.no, t.stage, 'paused'::task_state AS was, t.state, t.reason,
                          0::float8 AS gpu_ms, 0::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            "
            SELECT no FROM moved ORDER BY no"
        );
        let moved: Vec<i32> = sqlx::query_scalar(sql).bind(job_seq).bind(nos).fetch_all(&mut *tx).await?;
        if !moved.is_empty() {
            // while they were paused their producers may have finished, died or been forgotten
            rearm_revived(&mut tx, job_seq, &moved, &[]).await?;
        }
        tx.commit().await?;
        Ok(moved.len() as u64)
    }
}
