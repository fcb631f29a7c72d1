//! What is kept for a while only.

use crate::{Store, StoreError};
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
}
