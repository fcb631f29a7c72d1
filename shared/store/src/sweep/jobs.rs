//! Jobs whose tasks are all finished, and the folding of counts.

use crate::counts::read_counts;
use crate::job_control::{lock_job, set_state};
use crate::{LeaderEpoch, Phase, Store, StoreError};
use domain::Stage;
use domain::job_state::{JobEvent, JobState};

/// A job that ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The job.
    pub job_seq: i64,
    /// How it ended.
    pub state: JobState,
}

impl Store {
    /// Ends active and paused jobs that have no unfinished task, and none that is still to be written.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.settle_jobs", skip(self))]
    pub async fn settle_jobs(&self, limit: i64) -> Result<Vec<Settled>, StoreError> {
        let sql = "-- settle_jobs
            SELECT j.seq FROM jobs j WHERE j.state IN ('active', 'paused') AND NOT j.unwritten AND NOT EXISTS (
                -- by the counts, which are exact (I6): among the tasks themselves it would have to pass all that were moved since the
                -- last vacuum
                SELECT FROM job_counts c WHERE c.job_seq = j.seq AND c.n > 0
                    AND c.state IN ('blocked', 'ready', 'dispatched', 'running', 'retry_wait', 'paused'))
            ORDER BY j.seq LIMIT $1";
        let jobs: Vec<i64> = sqlx::query_scalar(sql).bind(limit).fetch_all(&self.pool).await?;
        let mut settled = Vec::new();
        for job_seq in jobs {
            if let Some(state) = self.settle(job_seq).await? {
                settled.push(Settled { job_seq, state });
            }
        }
        Ok(settled)
    }

    async fn settle(&self, job_seq: i64) -> Result<Option<JobState>, StoreError> {
        let mut tx = self.pool.begin().await?;
        // under the lock no task is added and none revived, so what the next statement sees is final
        let Some(from) = lock_job(&mut tx, job_seq).await? else { return Ok(None) };
        let open = "-- settle_jobs: check
            SELECT EXISTS (SELECT FROM tasks WHERE job_seq = $1 AND state IN ('blocked', 'ready', 'dispatched', 'running', 'retry_wait'))
                OR EXISTS (SELECT FROM tasks WHERE job_seq = $1 AND state = 'paused')
                OR EXISTS (SELECT FROM jobs WHERE seq = $1 AND unwritten)";
        let open: bool = sqlx::query_scalar(open).bind(job_seq).fetch_one(&mut *tx).await?;
        if open || !matches!(from, JobState::Active | JobState::Paused) {
            return Ok(None);
        }
        let counts = read_counts(&mut *tx, job_seq).await?;
        let total = |stages: &[Stage], phase: Phase| -> i64 {
            counts.iter().filter(|c| stages.contains(&c.stage) && c.phase == phase).map(|c| c.n).sum()
        };
        let event = JobEvent::Settle {
            succeeded: total(&[Stage::Edit], Phase::Succeeded),
            dead: total(&Stage::ALL, Phase::Dead),
            cancelled: total(&Stage::ALL, Phase::Cancelled),
        };
        // safe to drop the refusal: only active and paused come here, and both accept `settle`
        let Ok(state) = from.on(event) else { return Ok(None) };
        set_state(&mut tx, job_seq, state).await?;
        tx.commit().await?;
        Ok(Some(state))
    }

    /// Folds up to `limit` deltas into the rollups and charges jobs and projects. Returns how many; zero when there are none, or
    /// `epoch` is not the leader's any more.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.fold_deltas", skip(self))]
    pub async fn fold_deltas(&self, leadership: &str, epoch: LeaderEpoch, limit: i64) -> Result<u64, StoreError> {
        // one statement: at every snapshot a delta is either here or in its rollup
        let sql = "-- fold_deltas
            WITH taken AS (
                DELETE FROM count_deltas WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM count_deltas
                    WHERE EXISTS (SELECT FROM leader WHERE name = $1 AND epoch = $2)
                    LIMIT $3 FOR UPDATE SKIP LOCKED))
                RETURNING job_seq, stage, state, reason, n, gpu_ms, charge_ms),
            folded AS (
                INSERT INTO job_rollups AS r (job_seq, stage, state, reason, n, gpu_ms)
                SELECT job_seq, stage, state, reason, sum(n), sum(gpu_ms) FROM taken GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
                ON CONFLICT (job_seq, stage, state, reason)
                DO UPDATE SET n = r.n + excluded.n, gpu_ms = r.gpu_ms + excluded.gpu_ms),
            by_minute AS (
                INSERT INTO job_minutes AS m (minute, job_seq, stage, succeeded, dead, retried, cancelled, gpu_ms)
                SELECT date_trunc('minute', now()), job_seq, stage,
                       COALESCE(sum(n) FILTER (WHERE state = 'succeeded'), 0), COALESCE(sum(n) FILTER (WHERE state = 'dead'), 0),
                       COALESCE(sum(n) FILTER (WHERE state = 'retry_wait'), 0), COALESCE(sum(n) FILTER (WHERE state = 'cancelled'), 0),
                       sum(gpu_ms)
                FROM taken
                -- what leaves a state is no event of its own, but for the time it took
                WHERE n > 0 AND (state IN ('succeeded', 'dead', 'retry_wait', 'cancelled') OR gpu_ms <> 0)
                GROUP BY job_seq, stage ORDER BY job_seq, stage
                ON CONFLICT (minute, job_seq, stage) DO UPDATE SET
                    succeeded = m.succeeded + excluded.succeeded, dead = m.dead + excluded.dead,
                    retried = m.retried + excluded.retried, cancelled = m.cancelled + excluded.cancelled,
                    gpu_ms = m.gpu_ms + excluded.gpu_ms),
            charges AS (SELECT job_seq, sum(charge_ms) AS ms FROM taken WHERE charge_ms <> 0 GROUP BY job_seq),
            jobs_charged AS (
                UPDATE jobs j SET served_ms = j.served_ms + c.ms FROM charges c WHERE j.seq = c.job_seq RETURNING j.project, c.ms),
            projects_charged AS (
                UPDATE projects p SET served_ms = p.served_ms + c.ms
                FROM (SELECT project, sum(ms) AS ms FROM jobs_charged GROUP BY project) AS c WHERE p.id = c.project),
            used AS (
                INSERT INTO project_usage AS u (project, hour, charge_ms)
                SELECT project, date_trunc('hour', now()), sum(ms) FROM jobs_charged GROUP BY project
                ON CONFLICT (project, hour) DO UPDATE SET charge_ms = u.charge_ms + excluded.charge_ms)
            SELECT count(*) FROM taken";
        self.fold(sql, leadership, epoch, limit).await
    }
}
