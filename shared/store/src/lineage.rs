//! What an OpenLineage endpoint has not been told of jobs yet. An event is marked after it was taken: one that is told twice is the
//! same event, one that is never told would be a gap.

use crate::jobs::{Row, select_jobs};
use crate::{JobRow, Store, StoreError};
use chrono::{DateTime, Utc};

impl Store {
    /// Jobs of whose beginning nobody was told, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.untold_starts", skip(self))]
    pub async fn untold_starts(&self, limit: i64) -> Result<Vec<JobRow>, StoreError> {
        let sql = select_jobs!("WHERE NOT j.lineage_started ORDER BY j.seq LIMIT $1");
        let rows: Vec<Row> = sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await?;
        rows.into_iter().map(JobRow::try_from).collect()
    }

    /// Jobs of whose last end nobody was told, but of whose beginning somebody was; oldest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.untold_ends", skip(self))]
    pub async fn untold_ends(&self, limit: i64) -> Result<Vec<JobRow>, StoreError> {
        let sql = select_jobs!(
            "WHERE j.lineage_started AND j.finished_at IS NOT NULL AND j.finished_at IS DISTINCT FROM j.lineage_finished_at
             ORDER BY j.seq LIMIT $1"
        );
        let rows: Vec<Row> = sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await?;
        rows.into_iter().map(JobRow::try_from).collect()
    }

    /// Notes that the job's beginning was told.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.start_told", skip(self))]
    pub async fn start_told(&self, job_seq: i64) -> Result<(), StoreError> {
        let sql = "-- start_told\nUPDATE jobs SET lineage_started = true WHERE seq = $1";
        sqlx::query(sql).bind(job_seq).execute(&self.pool).await?;
        Ok(())
    }

    /// Notes that the job's end at `finished_at` was told.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.end_told", skip(self))]
    pub async fn end_told(&self, job_seq: i64, finished_at: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "-- end_told\nUPDATE jobs SET lineage_finished_at = $2 WHERE seq = $1";
        sqlx::query(sql).bind(job_seq).bind(finished_at).execute(&self.pool).await?;
        Ok(())
    }
}
