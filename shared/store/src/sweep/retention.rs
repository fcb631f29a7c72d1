//! What is kept for a while only.

use crate::{Store, StoreError};
use sqlx::AssertSqlSafe;
use std::time::Duration;

impl Store {
    /// Deletes up to `limit` attempts that ended longer than `keep` ago. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.old_attempts", skip(self))]
    pub async fn old_attempts(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- old_attempts
            DELETE FROM attempts WHERE (job_seq, no, epoch) IN (
                SELECT job_seq, no, epoch FROM attempts WHERE ended_at < now() - make_interval(secs => $1)
                ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(keep.as_secs_f64()).bind(limit).execute(&self.pool).await?.rows_affected())
    }

    /// Deletes up to `limit` batches made longer than `keep` ago of which nothing is handed out any more. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.old_batches", skip(self))]
    pub async fn old_batches(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- old_batches
            DELETE FROM batches WHERE id IN (
                SELECT b.id FROM batches b
                WHERE b.created_at < now() - make_interval(secs => $1)
                    AND NOT EXISTS (
                        SELECT FROM tasks t WHERE t.batch = b.id AND t.state IN ('dispatched', 'running'))
                ORDER BY b.created_at LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(keep.as_secs_f64()).bind(limit).execute(&self.pool).await?.rows_affected())
    }

    /// Deletes up to `limit` workers that are gone or lost and were not heard of for `keep`. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.old_workers", skip(self))]
    pub async fn old_workers(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- old_workers
            DELETE FROM workers WHERE boot IN (
                SELECT w.boot FROM workers w
                WHERE w.state IN ('gone', 'lost') AND w.last_seen < now() - make_interval(secs => $1)
                    AND NOT EXISTS (SELECT FROM tasks t WHERE t.boot = w.boot AND t.state = 'running')
                LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(keep.as_secs_f64()).bind(limit).execute(&self.pool).await?.rows_affected())
    }

    /// Deletes up to `limit` token buckets that nothing was taken from for `keep`, which is longer than any takes to fill: a missing
    /// bucket is a full one. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.full_buckets", skip(self))]
    pub async fn full_buckets(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- full_buckets
            DELETE FROM rate_buckets WHERE owner IN (
                SELECT owner FROM rate_buckets WHERE refilled_at < now() - make_interval(secs => $1)
                LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(keep.as_secs_f64()).bind(limit).execute(&self.pool).await?.rows_affected())
    }

    /// Deletes work messages that waited in the outbox longer than `keep` and of which every task was taken back meanwhile
    /// (nothing is handed out under their batch). Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.stale_outbox", skip(self))]
    pub async fn stale_outbox(&self, keep: Duration, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- stale_outbox
            DELETE FROM outbox WHERE id IN (
                SELECT o.id FROM outbox o
                WHERE o.kind = 'work' AND o.batch IS NOT NULL AND o.created_at < now() - make_interval(secs => $1)
                    AND NOT EXISTS (
                        SELECT FROM tasks t WHERE t.batch = o.batch AND t.state IN ('dispatched', 'running'))
                ORDER BY o.id LIMIT $2 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(keep.as_secs_f64()).bind(limit).execute(&self.pool).await?.rows_affected())
    }

    /// Drops the oldest partition of tasks if every job of its cohort ended longer than `keep` ago: no row is deleted one by one.
    /// Jobs, their counts, results and records stay. Returns the number of jobs whose tasks are forgotten; zero also when others hold
    /// the table just now, since waiting for them would hold up all who come after.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.forget_tasks", skip(self))]
    pub async fn forget_tasks(&self, keep: Duration) -> Result<u64, StoreError> {
        match self.try_forget_tasks(keep).await {
            Err(StoreError::Database(error)) if is_lock_timeout(&error) => Ok(0),
            other => other,
        }
    }

    async fn try_forget_tasks(&self, keep: Duration) -> Result<u64, StoreError> {
        // by the partitions that are there, so that what was forgotten is not looked at again
        let find = "-- forget_tasks: find
            SELECT low FROM (
                SELECT substring(c.relname FROM '^tasks_([0-9]+)$')::bigint AS low
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'tasks'::regclass) AS part
            WHERE NOT EXISTS (
                    SELECT FROM jobs WHERE seq >= low AND seq < low + 64
                        AND (finished_at IS NULL OR cancel_pending OR finished_at >= now() - make_interval(secs => $1)))
                -- numbers are given in order: once a later cohort is as old, no submit of this one is still under way
                AND (SELECT created_at FROM jobs WHERE seq >= low + 64 ORDER BY seq LIMIT 1) < now() - make_interval(secs => $1)
            ORDER BY low LIMIT 1";
        let low: Option<i64> = sqlx::query_scalar(find).bind(keep.as_secs_f64()).fetch_optional(&self.pool).await?;
        let Some(low) = low else { return Ok(0) };
        let mut tx = self.pool.begin().await?;
        sqlx::query("SET LOCAL lock_timeout = '250ms'").execute(&mut *tx).await?;
        // a retry takes the job's row first: either it comes first and the job is open again, or it finds no task
        let lock = "-- forget_tasks: lock
            SELECT finished_at IS NOT NULL AND NOT cancel_pending AND finished_at < now() - make_interval(secs => $2)
            FROM jobs WHERE seq >= $1 AND seq < $1 + 64 ORDER BY seq FOR UPDATE";
        let over: Vec<bool> = sqlx::query_scalar(lock).bind(low).bind(keep.as_secs_f64()).fetch_all(&mut *tx).await?;
        if over.contains(&false) {
            return Ok(0);
        }
        let note = "-- forget_tasks: note
            UPDATE jobs SET tasks_forgotten_at = now() WHERE seq >= $1 AND seq < $1 + 64 AND tasks_forgotten_at IS NULL";
        let jobs = sqlx::query(note).bind(low).execute(&mut *tx).await?.rows_affected();
        // The name is made of a number that was read from the catalogue. IF EXISTS: another coordinator may have been faster.
        let drop = AssertSqlSafe(format!("-- forget_tasks\nDROP TABLE IF EXISTS tasks_{low}"));
        sqlx::query(drop).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(jobs)
    }
}

/// 55P03 lock_not_available: what `lock_timeout` gives.
fn is_lock_timeout(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.code().as_deref() == Some("55P03"))
}
