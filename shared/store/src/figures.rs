//! Figures for people: what outputs score, what waits, what happened by the minute. What is read here is what the views of the schema
//! `dash` say, so that the dashboard, Prometheus and SQL tell the same.

use crate::{LeaderEpoch, Store, StoreError};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// What waits of one project's stage (`dash.queue_depth`).
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
pub struct QueueDepth {
    /// The project's name.
    pub project: String,
    /// `invert`, `train` or `edit`.
    pub stage: String,
    /// Tasks that can be handed out.
    pub ready: i64,
    /// Tasks that wait for a latent or a mapper.
    pub blocked: i64,
    /// Tasks that wait for another attempt.
    pub retrying: i64,
    /// Tasks that a user paused one by one, and what waits of paused jobs.
    pub paused: i64,
    /// Tasks that are with workers.
    pub running: i64,
    /// Estimated seconds of tensor work of all but the paused ones; none where no such work was done yet.
    pub backlog_gpu_seconds: Option<f64>,
}

/// Images of a job that were finished in a minute (`dash.throughput_1m`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct Minute {
    /// Its beginning.
    pub minute: DateTime<Utc>,
    /// Sources that were inverted.
    pub inverted: i64,
    /// Outputs.
    pub edited: i64,
}

impl Store {
    /// The job's images minute by minute, those without any included: of the last `within` up to now, or, where the job is `over`, up to
    /// its last image. A minute that is not over yet is left out unless the job is.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.throughput", skip(self))]
    pub async fn throughput(&self, job_seq: i64, over: bool, within: Duration) -> Result<Vec<Minute>, StoreError> {
        let sql = "-- throughput
            WITH bounds AS (
                SELECT min(minute) AS first,
                       CASE WHEN $2 THEN max(minute) ELSE date_trunc('minute', now()) - interval '1 minute' END AS last
                FROM job_minutes WHERE job_seq = $1)
            SELECT every.minute, COALESCE(sum(m.succeeded) FILTER (WHERE m.stage = 'invert'), 0)::bigint AS inverted,
                   COALESCE(sum(m.succeeded) FILTER (WHERE m.stage = 'edit'), 0)::bigint AS edited
            FROM bounds b
            CROSS JOIN LATERAL generate_series(GREATEST(b.first, b.last - make_interval(secs => $3) + interval '1 minute'), b.last,
                                               interval '1 minute') AS every(minute)
            LEFT JOIN job_minutes m ON m.job_seq = $1 AND m.minute = every.minute
            -- nothing yet: GREATEST passes over what is null
            WHERE b.first IS NOT NULL
            GROUP BY every.minute ORDER BY every.minute";
        Ok(sqlx::query_as(sql).bind(job_seq).bind(over).bind(within.as_secs_f64()).fetch_all(&self.pool).await?)
    }

    /// What waits, by project and stage.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.queue_depth", skip(self))]
    pub async fn queue_depth(&self) -> Result<Vec<QueueDepth>, StoreError> {
        let sql = "-- queue_depth
            SELECT project, stage, ready, blocked, retrying, paused, running, backlog_gpu_seconds::float8
            FROM dash.queue_depth ORDER BY project, stage";
        Ok(sqlx::query_as(sql).fetch_all(&self.pool).await?)
    }

    /// Folds up to `limit` deltas of scores into the rollups. Returns how many; zero when there are none, or `epoch` is not the leader's
    /// any more.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.fold_metrics", skip(self))]
    pub async fn fold_metrics(&self, leadership: &str, epoch: LeaderEpoch, limit: i64) -> Result<u64, StoreError> {
        // one statement: at every snapshot a delta is either here or in its rollup
        let sql = "-- fold_metrics
            WITH taken AS (
                DELETE FROM metric_deltas WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM metric_deltas
                    WHERE EXISTS (SELECT FROM leader WHERE name = $1 AND epoch = $2)
                    LIMIT $3 FOR UPDATE SKIP LOCKED))
                RETURNING job_seq, edit_no, strength, metric, n, sum, squares, least, most),
            folded AS (
                INSERT INTO metric_rollups AS r (job_seq, edit_no, strength, metric, n, sum, squares, least, most)
                SELECT job_seq, edit_no, strength, metric, sum(n), sum(sum), sum(squares), min(least), max(most)
                FROM taken GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
                ON CONFLICT (job_seq, edit_no, strength, metric) DO UPDATE SET
                    n = r.n + excluded.n, sum = r.sum + excluded.sum, squares = r.squares + excluded.squares,
                    least = LEAST(r.least, excluded.least), most = GREATEST(r.most, excluded.most))
            SELECT count(*) FROM taken";
        self.fold(sql, leadership, epoch, limit).await
    }

    /// Deletes up to `limit` rows of `job_minutes` of longer than `minutes` ago, and of `stage_hours` of longer than `hours` ago. Returns
    /// how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.old_figures", skip(self))]
    pub async fn old_figures(&self, minutes: Duration, hours: Duration, limit: i64) -> Result<u64, StoreError> {
        let old_minutes = "-- old_figures: minutes
            DELETE FROM job_minutes WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM job_minutes WHERE minute < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED))";
        let old_hours = "-- old_figures: hours
            DELETE FROM stage_hours WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM stage_hours WHERE hour < now() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED))";
        let mut gone = 0;
        for (sql, keep) in [(old_minutes, minutes), (old_hours, hours)] {
            gone += sqlx::query(sql).bind(keep.as_secs_f64()).bind(limit).execute(&self.pool).await?.rows_affected();
        }
        Ok(gone)
    }
}
