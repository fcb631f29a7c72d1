//! Tasks that nobody moves on by themselves: held by the lost, never started, back-off over, cancelled with their job, behind
//! a shut gate.

use crate::counts::{deltas_of_moved, unspent};
use crate::error::retrying;
use crate::outcomes::{Failure, fail};
use crate::{Applied, Fence, Store, StoreError};
use domain::{Reason, RetryPolicy};
use std::time::Duration;

impl Store {
    /// Takes back running tasks whose worker was not heard of for `silence`, has been out of reach for `gone`, said goodbye, or says
    /// (a minute after the start) that it does not hold them. Each counts as a loss. Marks silent and unreachable workers as lost.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.lost_workers", skip(self, policy))]
    pub async fn lost_workers(
        &self,
        silence: Duration,
        gone: Duration,
        limit: i64,
        policy: &RetryPolicy,
    ) -> Result<Applied, StoreError> {
        let mark = "-- lost_workers: mark
            UPDATE workers SET state = 'lost', running = '[]'
            WHERE state IN ('live', 'draining') AND (
                last_seen < now() - make_interval(secs => $1) OR unreachable_since < now() - make_interval(secs => $2))";
        sqlx::query(mark).bind(silence.as_secs_f64()).bind(gone.as_secs_f64()).execute(&self.pool).await?;
        let find = "-- lost_workers
            SELECT t.job_seq, t.no, t.epoch,
                   CASE WHEN w.boot IS NULL THEN 'its worker never sent a heartbeat'
                        WHEN w.state = 'gone' THEN 'its worker ended without giving it back'
                        WHEN w.state = 'lost' AND w.unreachable_since IS NOT NULL THEN 'its worker lost its connection and did not come back'
                        WHEN w.state = 'lost' THEN 'its worker was not heard of for too long'
                        ELSE 'its worker does not hold it any more' END
            FROM tasks t LEFT JOIN workers w ON w.boot = t.boot
            WHERE t.state = 'running' AND (
                (w.boot IS NULL AND t.held_since < now() - make_interval(secs => $1))
                OR w.state = 'lost'
                -- outcomes that were sent before the goodbye may still be under way
                OR (w.state = 'gone' AND w.last_seen < now() - interval '10 seconds')
                -- its heartbeats come after its start in the same queue, so one a minute later that does not name the task means it
                OR (w.state IN ('live', 'draining') AND w.last_seen > t.held_since + interval '60 seconds'
                    AND NOT w.running @> jsonb_build_array(jsonb_build_object('task', t.job_seq || '-' || t.no, 'epoch', t.epoch))))
            LIMIT $2";
        let rows: Vec<(i64, i32, i64, String)> =
            sqlx::query_as(find).bind(silence.as_secs_f64()).bind(limit).fetch_all(&self.pool).await?;
        self.lose(rows, Reason::WorkerLost, policy).await
    }

    /// Makes ready again up to `limit` tasks that were handed out longer than `patience` ago and never started: the message was
    /// lost, or waits behind long work. Nobody tried them, so that counts as no loss; should the message still arrive, its epoch is
    /// void. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.never_started", skip(self))]
    pub async fn never_started(&self, patience: Duration, limit: i64) -> Result<u64, StoreError> {
        let sql = concat!(
            "-- never_started
            WITH held AS (
                SELECT job_seq, no, charged FROM tasks t
                WHERE t.state = 'dispatched' AND t.held_since < now() - make_interval(secs => $1)
                    -- what is still in the outbox waits for the broker
                    AND NOT EXISTS (SELECT FROM outbox o WHERE o.batch = t.batch)
                LIMIT $2 FOR UPDATE SKIP LOCKED),
            moved AS (
                UPDATE tasks t SET state = 'ready', batch = NULL, boot = NULL, held_since = NULL, charged = NULL, updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.stage, 'dispatched'::task_state AS was, t.state, t.reason,
                          0::float8 AS gpu_ms, -COALESCE(h.charged, 0)::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            "
            SELECT count(*) FROM moved"
        );
        let query = sqlx::query_scalar(sql).bind(patience.as_secs_f64()).bind(limit);
        let moved: i64 = query.fetch_one(&self.pool).await?;
        Ok(moved.cast_unsigned())
    }

    /// Applies losses under the fence that was read: whatever moved meanwhile is not touched.
    async fn lose(
        &self,
        rows: Vec<(i64, i32, i64, String)>,
        reason: Reason,
        policy: &RetryPolicy,
    ) -> Result<Applied, StoreError> {
        if rows.is_empty() {
            return Ok(Applied::default());
        }
        let failure =
            |(job, no, epoch, detail)| Failure { fence: Fence::new(job, no, epoch), reason, detail, gpu_ms: None };
        let failures: Vec<Failure> = rows.into_iter().map(failure).collect();
        retrying!(self.try_lose(&failures, policy).await)
    }

    async fn try_lose(&self, failures: &[Failure], policy: &RetryPolicy) -> Result<Applied, StoreError> {
        let mut tx = self.pool.begin().await?;
        let mut applied = Applied::default();
        fail(&mut tx, None, failures, policy, &mut applied).await?;
        tx.commit().await?;
        Ok(applied)
    }

    /// Makes tasks ready whose back-off is over. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.due_retries", skip(self))]
    pub async fn due_retries(&self, limit: i64) -> Result<u64, StoreError> {
        let sql = concat!(
            "-- due_retries
            WITH held AS (
                SELECT job_seq, no FROM tasks WHERE state = 'retry_wait' AND next_at <= now()
                ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED),
            moved AS (
                UPDATE tasks t SET state = 'ready', next_at = NULL, reason = NULL, detail = NULL, updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.stage, 'retry_wait'::task_state AS was, t.state, t.reason,
                          0::float8 AS gpu_ms, 0::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            "
            SELECT count(*) FROM moved"
        );
        let moved: i64 = sqlx::query_scalar(sql).bind(limit).fetch_one(&self.pool).await?;
        Ok(moved.cast_unsigned())
    }

    /// Cancels up to `limit` unfinished tasks of a cancelled job, running ones too: their outcome is refused later. Returns how
    /// many; zero when no cancelled job has any left.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.cancel_tasks_slice", skip(self))]
    pub async fn cancel_tasks_slice(&self, limit: i64) -> Result<u64, StoreError> {
        loop {
            let job = "-- cancel_tasks_slice: job\nSELECT seq FROM jobs WHERE cancel_pending ORDER BY seq LIMIT 1";
            let Some(job_seq): Option<i64> = sqlx::query_scalar(job).fetch_optional(&self.pool).await? else {
                return Ok(0);
            };
            let moved = retrying!(self.cancel_slice_of(job_seq, limit).await)?;
            if moved > 0 {
                return Ok(moved);
            }
            let done = "-- cancel_tasks_slice: done
                UPDATE jobs SET cancel_pending = false WHERE seq = $1 AND NOT EXISTS (
                    SELECT FROM tasks t WHERE t.job_seq = $1
                        AND (t.state IN ('blocked', 'ready', 'dispatched', 'running', 'retry_wait') OR t.state = 'paused'))";
            sqlx::query(done).bind(job_seq).execute(&self.pool).await?;
        }
    }

    async fn cancel_slice_of(&self, job_seq: i64, limit: i64) -> Result<u64, StoreError> {
        let sql = concat!(
            "-- cancel_tasks_slice
            WITH held AS (
                SELECT job_seq, no, state AS was, charged, held_since FROM tasks
                WHERE job_seq = $1 AND (state IN ('blocked', 'ready', 'dispatched', 'running', 'retry_wait') OR state = 'paused')
                LIMIT $2 FOR UPDATE),
            moved AS (
                UPDATE tasks t SET state = 'cancelled', batch = NULL, boot = NULL, held_since = NULL, charged = NULL, next_at = NULL,
                    reason = NULL, detail = NULL, updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.no, t.key, t.stage, h.was, t.state, t.reason, 0::float8 AS gpu_ms, ",
            unspent!(),
            " AS charge_ms),
            ",
            deltas_of_moved!(),
            ",
            -- others may wait for what it will not produce now: the rearming sweep gives it to one of them
            orphaned AS (
                UPDATE stage_artifacts a SET state = 'orphaned' FROM moved m
                WHERE m.stage <> 'edit' AND a.key = m.key AND a.state = 'pending'
                    AND a.producer_job = m.job_seq AND a.producer_no = m.no)
            SELECT count(*) FROM moved"
        );
        let moved: i64 = sqlx::query_scalar(sql).bind(job_seq).bind(limit).fetch_one(&self.pool).await?;
        Ok(moved.cast_unsigned())
    }

    /// Lets die up to `limit` edits whose gate is shut for good. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.dead_gates", skip(self))]
    pub async fn dead_gates(&self, limit: i64) -> Result<u64, StoreError> {
        retrying!(self.try_dead_gates(limit).await)
    }

    async fn try_dead_gates(&self, limit: i64) -> Result<u64, StoreError> {
        let sql = concat!(
            "-- dead_gates
            WITH gates AS (
                SELECT e.job_seq, e.edit_no FROM job_edits e JOIN jobs j ON j.seq = e.job_seq
                WHERE e.gate = 'dead' AND j.state IN ('accepting', 'active', 'paused')
                -- a revival of the gate waits for us, or we see it
                FOR SHARE OF e),
            held AS (
                SELECT t.job_seq, t.no, t.state AS was FROM gates g
                JOIN tasks t ON t.job_seq = g.job_seq AND t.edit_no = g.edit_no
                WHERE t.state IN ('ready', 'blocked') AND t.stage = 'edit' LIMIT $1 FOR UPDATE OF t),
            moved AS (
                UPDATE tasks t SET state = 'dead', reason = 'producer_dead', updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.stage, h.was, t.state, t.reason, 0::float8 AS gpu_ms, 0::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            "
            SELECT count(*) FROM moved"
        );
        let moved: i64 = sqlx::query_scalar(sql).bind(limit).fetch_one(&self.pool).await?;
        Ok(moved.cast_unsigned())
    }
}
