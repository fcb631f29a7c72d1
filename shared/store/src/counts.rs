//! Counts of tasks: rollups plus deltas that are not yet folded, exact at every snapshot (invariant I6), never `count(*)`.

use crate::columns::Place;
use crate::{Store, StoreError};
use domain::{Reason, Stage};
use std::collections::BTreeMap;
use std::{fmt, str::FromStr};

/// The name of a task's state, without the facts that `domain::task_state::TaskState` carries: what counts are kept by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// Waits for an earlier stage.
    Blocked,
    /// May be handed out.
    Ready,
    /// Handed out, start not yet heard.
    Dispatched,
    /// A worker has it.
    Running,
    /// Waits out its back-off.
    RetryWait,
    /// Held back by a user.
    Paused,
    /// Done.
    Succeeded,
    /// Given up.
    Dead,
    /// Cancelled.
    Cancelled,
}

impl Phase {
    /// All phases, in the order of the state diagram.
    pub const ALL: [Self; 9] = [
        Self::Blocked,
        Self::Ready,
        Self::Dispatched,
        Self::Running,
        Self::RetryWait,
        Self::Paused,
        Self::Succeeded,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The column value, as `TaskState::name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Dispatched => "dispatched",
            Self::Running => "running",
            Self::RetryWait => "retry_wait",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if only an operator moves such a task again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// A task state that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a task state")]
pub struct UnknownPhase(pub String);

/// How many tasks of a job stand where.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Count {
    /// Which kind of task.
    pub stage: Stage,
    /// Where they stand.
    pub phase: Phase,
    /// How many.
    pub n: i64,
    /// GPU milliseconds of hand-outs that ended with this change.
    pub gpu_ms: f64,
}

/// How many tasks of a job are dead for one reason.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ReasonCount {
    /// Which kind of task.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub n: i64,
}

/// A count that does not match what it counts: a defect.
#[derive(Clone, PartialEq, Eq, Debug, sqlx::FromRow)]
pub struct Mismatch {
    /// The stage's name; `edit N` for verdicts of edit number N.
    pub stage: String,
    /// The state's or verdict's name.
    pub state: String,
    /// Why, for dead tasks and rejected results.
    pub reason: String,
    /// What the counts say.
    pub counted: i64,
    /// What the tasks or results say.
    pub actual: i64,
}

impl Store {
    /// The job's counts by stage and state; those that are zero and had no GPU time are left out.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.counts", skip(self))]
    pub async fn counts(&self, job_seq: i64) -> Result<Vec<Count>, StoreError> {
        read_counts(&self.pool, job_seq).await
    }

    /// The counts of several jobs, by their numbers: one reading for a whole page.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.counts_of", skip(self))]
    pub async fn counts_of(&self, jobs: &[i64]) -> Result<BTreeMap<i64, Vec<Count>>, StoreError> {
        let sql = "-- counts_of
            SELECT job_seq, stage::text, state::text, sum(n)::bigint, sum(gpu_ms) FROM job_counts WHERE job_seq = ANY($1)
            GROUP BY job_seq, stage, state HAVING sum(n) <> 0 OR sum(gpu_ms) > 0
            ORDER BY job_counts.stage, job_counts.state";
        let rows: Vec<(i64, String, String, i64, f64)> = sqlx::query_as(sql).bind(jobs).fetch_all(&self.pool).await?;
        let mut counts = BTreeMap::<i64, Vec<Count>>::new();
        for (job, stage, phase, n, gpu_ms) in rows {
            let at = Place { table: "job_counts", row: &job };
            let count = Count { stage: at.parse("stage", &stage)?, phase: at.parse("state", &phase)?, n, gpu_ms };
            counts.entry(job).or_default().push(count);
        }
        Ok(counts)
    }

    /// Why tasks of the job are dead, most frequent first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reasons(&self, job_seq: i64) -> Result<Vec<ReasonCount>, StoreError> {
        Ok(self.reasons_of(&[job_seq]).await?.remove(&job_seq).unwrap_or_default())
    }

    /// The same of several jobs, by their numbers.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.reasons", skip(self))]
    pub async fn reasons_of(&self, jobs: &[i64]) -> Result<BTreeMap<i64, Vec<ReasonCount>>, StoreError> {
        let sql = "-- reasons
            SELECT job_seq, stage::text, reason, n FROM job_counts
            WHERE job_seq = ANY($1) AND state = 'dead' AND n <> 0 ORDER BY n DESC, job_counts.stage, reason";
        let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(sql).bind(jobs).fetch_all(&self.pool).await?;
        let mut reasons = BTreeMap::<i64, Vec<ReasonCount>>::new();
        for (job, stage, reason, n) in rows {
            let at = Place { table: "job_counts", row: &job };
            let count = ReasonCount { stage: at.parse("stage", &stage)?, reason: at.parse("reason", &reason)?, n };
            reasons.entry(job).or_default().push(count);
        }
        Ok(reasons)
    }

    /// Compares the job's counts with its tasks (reads all of them: for tests and `doctor`). Empty is right. Verdicts have a check of
    /// their own: [`Store::check_verdicts`].
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.check_rollups", skip(self))]
    pub async fn check_rollups(&self, job_seq: i64) -> Result<Vec<Mismatch>, StoreError> {
        let sql = "-- check_rollups
            WITH actual AS (
                SELECT stage, state, CASE WHEN state = 'dead' THEN reason ELSE '' END AS reason, count(*) AS n
                FROM tasks WHERE job_seq = $1 GROUP BY 1, 2, 3),
            counted AS (
                SELECT stage, state, reason, n FROM job_counts WHERE job_seq = $1
                    -- what was forgotten cannot be counted again
                    AND NOT EXISTS (SELECT FROM jobs WHERE seq = $1 AND tasks_forgotten_at IS NOT NULL))
            SELECT stage::text, state::text, reason, COALESCE(c.n, 0) AS counted, COALESCE(a.n, 0) AS actual
            FROM counted c FULL JOIN actual a USING (stage, state, reason)
            WHERE COALESCE(c.n, 0) <> COALESCE(a.n, 0) ORDER BY 1, 2, 3";
        Ok(sqlx::query_as(sql).bind(job_seq).fetch_all(&self.pool).await?)
    }
}

/// The job's counts, on any connection: settling reads them inside its transaction.
pub(crate) async fn read_counts(executor: impl sqlx::PgExecutor<'_>, job_seq: i64) -> Result<Vec<Count>, StoreError> {
    let sql = "-- counts
        SELECT stage::text, state::text, sum(n)::bigint, sum(gpu_ms) FROM job_counts WHERE job_seq = $1
        GROUP BY stage, state HAVING sum(n) <> 0 OR sum(gpu_ms) > 0 ORDER BY job_counts.stage, job_counts.state";
    let rows: Vec<(String, String, i64, f64)> = sqlx::query_as(sql).bind(job_seq).fetch_all(executor).await?;
    let at = Place { table: "job_counts", row: &job_seq };
    let count = |(stage, phase, n, gpu_ms): (String, String, i64, f64)| {
        Ok(Count { stage: at.parse("stage", &stage)?, phase: at.parse("state", &phase)?, n, gpu_ms })
    };
    rows.into_iter().map(count).collect()
}

/// SQL of the common table expression that appends the deltas of a change. It expects one named `moved` with the columns
/// `job_seq, stage, was, state, reason, gpu_ms, charge_ms`, where no row `was` dead.
macro_rules! deltas_of_moved {
    () => {
        "deltas AS (
            INSERT INTO count_deltas (job_seq, stage, state, reason, n, gpu_ms, charge_ms)
            SELECT job_seq, stage, was, '', -count(*), 0, 0 FROM moved GROUP BY job_seq, stage, was
            UNION ALL
            SELECT job_seq, stage, state, CASE WHEN state = 'dead' THEN reason ELSE '' END,
                   count(*), sum(gpu_ms), sum(charge_ms)
            FROM moved GROUP BY 1, 2, 3, 4)"
    };
}
pub(crate) use deltas_of_moved;

/// What is given back of the estimate of a task that is cancelled, in GPU milliseconds: all of it where nobody began, and otherwise
/// what exceeds the time it was held. Of `held` as `h` (`was, charged, held_since`).
macro_rules! unspent {
    () => {
        "CASE h.was WHEN 'dispatched' THEN -h.charged
            WHEN 'running' THEN LEAST(0, extract(epoch FROM now() - h.held_since) * 1000 - h.charged) ELSE 0 END::float8"
    };
}
pub(crate) use unspent;
