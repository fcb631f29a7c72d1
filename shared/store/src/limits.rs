//! Limits of jobs and of projects, enforced where work is handed out: batches at once, a budget or a daily quota of GPU time, tasks
//! per minute. What runs is finished.
//!
//! The dispatcher leaves out lanes that a limit holds back. The claim asks again under the project's lock, so that two
//! coordinators that look at the same moment do not both take the last place. Charges are estimates until an outcome corrects
//! them, so a budget may be passed by what one batch took longer than estimated.

use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::{Limits, ProjectId};
use sqlx::{PgConnection, PgExecutor};
use std::collections::BTreeMap;
use std::fmt;

/// Why a job that has work ready gets none handed out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hold {
    /// The job's budget of GPU time is spent.
    Budget,
    /// The project's quota of the last 24 hours is spent.
    Quota,
    /// The job has as many batches with workers as it may have.
    JobBatches,
    /// So has the project.
    ProjectBatches,
    /// The job's tasks of this minute are handed out.
    JobRate,
    /// So are the project's.
    ProjectRate,
}

impl Hold {
    /// Stable code for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Quota => "quota",
            Self::JobBatches => "job_concurrency",
            Self::ProjectBatches => "project_concurrency",
            Self::JobRate => "job_rate_limit",
            Self::ProjectRate => "project_rate_limit",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What the limits of a job and its project leave; none where there is no limit.
#[derive(Clone, Copy, PartialEq, Debug, Default, sqlx::FromRow)]
pub(crate) struct Allowance {
    seq: i64,
    batches: Option<i64>,
    budget_ms: Option<f64>,
    tokens: Option<f64>,
    project_batches: Option<i64>,
    quota_ms: Option<f64>,
    project_tokens: Option<f64>,
}

impl Allowance {
    /// The first limit that is reached, those first that last longest.
    pub(crate) fn hold(&self) -> Option<Hold> {
        let spent = |left: Option<f64>| left.is_some_and(|left| left <= 0.0);
        let empty = |left: Option<f64>| left.is_some_and(|left| left < 1.0);
        let full = |left: Option<i64>| left.is_some_and(|left| left < 1);
        [
            (spent(self.budget_ms), Hold::Budget),
            (spent(self.quota_ms), Hold::Quota),
            (full(self.batches), Hold::JobBatches),
            (full(self.project_batches), Hold::ProjectBatches),
            (empty(self.tokens), Hold::JobRate),
            (empty(self.project_tokens), Hold::ProjectRate),
        ]
        .into_iter()
        .find_map(|(reached, hold)| reached.then_some(hold))
    }

    /// Of `wanted` tasks at `estimate_ms` each, how many may be handed out now. One is allowed as long as anything is left.
    pub(crate) fn tasks(&self, wanted: i64, estimate_ms: f64) -> i64 {
        if self.hold().is_some() {
            return 0;
        }
        let affordable = |left: Option<f64>| left.map(|ms| (ms / estimate_ms.max(1e-3)).floor().max(1.0));
        let limits = [affordable(self.budget_ms), affordable(self.quota_ms), self.tokens, self.project_tokens];
        // safe to cast: a float beyond the range becomes the range's end
        limits.into_iter().flatten().fold(wanted, |n, left| n.min(left.floor() as i64))
    }
}

/// What every open job under a limit may still have, by its number; or that of one job.
pub(crate) async fn allowances(
    executor: impl PgExecutor<'_>,
    job_seq: Option<i64>,
) -> Result<BTreeMap<i64, Allowance>, StoreError> {
    let rows: Vec<Allowance> =
        sqlx::query_as(include_str!("../queries/allowances.sql")).bind(job_seq).fetch_all(executor).await?;
    Ok(rows.into_iter().map(|row| (row.seq, row)).collect())
}

/// Of `wanted` tasks of the job, how many its limits leave, until the transaction ends: claims of the same project wait for it.
pub(crate) async fn admit(
    conn: &mut PgConnection,
    job_seq: i64,
    wanted: i64,
    estimate_ms: f64,
) -> Result<i64, StoreError> {
    let lock = "-- admit: lock
        SELECT pg_advisory_xact_lock(hashtextextended('limits ' || project::text, 0)) FROM jobs WHERE seq = $1";
    sqlx::query(lock).bind(job_seq).execute(&mut *conn).await?;
    let allowance = allowances(conn, Some(job_seq)).await?.remove(&job_seq);
    Ok(allowance.map_or(wanted, |allowance| allowance.tasks(wanted, estimate_ms)))
}

/// Takes the tokens of `n` tasks from the buckets of the job and its project, where they have a rate.
pub(crate) async fn spend(conn: &mut PgConnection, job_seq: i64, n: i64) -> Result<(), StoreError> {
    let sql = "-- spend
        INSERT INTO rate_buckets AS b (owner, per_minute, tokens, refilled_at)
        SELECT owner, rate, GREATEST(1, rate / 6) - $2, clock_timestamp()
        FROM jobs j JOIN projects p ON p.id = j.project
        CROSS JOIN LATERAL (VALUES (j.id, j.tasks_per_minute), (p.id, p.tasks_per_minute)) AS limits(owner, rate)
        WHERE j.seq = $1 AND rate IS NOT NULL ORDER BY owner
        ON CONFLICT (owner) DO UPDATE SET
            tokens = LEAST(GREATEST(1, excluded.per_minute / 6),
                b.tokens + excluded.per_minute / 60 * extract(epoch FROM clock_timestamp() - b.refilled_at)::float8) - $2,
            per_minute = excluded.per_minute, refilled_at = clock_timestamp()";
    sqlx::query(sql).bind(job_seq).bind(n as f64).execute(conn).await?;
    Ok(())
}

/// A project's limits and share. For a change: `None` leaves a value as it is, `Some(None)` takes a limit away.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ProjectChange {
    /// Share of the GPUs relative to others, above 0.
    pub weight: Option<f64>,
    /// GPU milliseconds within 24 hours.
    pub quota_ms_per_day: Option<Option<f64>>,
    /// Batches at once.
    pub max_batches: Option<Option<i32>>,
    /// Tasks per minute.
    pub tasks_per_minute: Option<Option<f64>>,
}

/// A change of a job's limits; as [`ProjectChange`].
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LimitsChange {
    /// Batches at once.
    pub max_concurrent: Option<Option<i32>>,
    /// GPU seconds in all.
    pub budget_gpu_seconds: Option<Option<f64>>,
    /// When what was not begun is cancelled.
    pub deadline: Option<Option<DateTime<Utc>>>,
    /// Tasks per minute.
    pub tasks_per_minute: Option<Option<f64>>,
    /// Higher goes first within the project.
    pub priority: Option<i16>,
}

impl Store {
    /// Changes a project's share and limits. False if there is no such project.
    ///
    /// # Errors
    /// When the database fails or a value is not above 0.
    #[tracing::instrument(name = "db.change_project", skip(self))]
    pub async fn change_project(&self, project: ProjectId, change: &ProjectChange) -> Result<bool, StoreError> {
        let sql = "-- change_project
            UPDATE projects SET weight = COALESCE($2, weight),
                quota_ms_per_day = CASE WHEN $3 THEN $4 ELSE quota_ms_per_day END,
                max_batches = CASE WHEN $5 THEN $6 ELSE max_batches END,
                tasks_per_minute = CASE WHEN $7 THEN $8 ELSE tasks_per_minute END
            WHERE id = $1";
        let done = sqlx::query(sql)
            .bind(project.as_uuid())
            .bind(change.weight)
            .bind(change.quota_ms_per_day.is_some())
            .bind(change.quota_ms_per_day.flatten())
            .bind(change.max_batches.is_some())
            .bind(change.max_batches.flatten())
            .bind(change.tasks_per_minute.is_some())
            .bind(change.tasks_per_minute.flatten())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Changes a job's limits and priority. False if there is no such job.
    ///
    /// # Errors
    /// When the database fails or a value is not above 0.
    #[tracing::instrument(name = "db.change_limits", skip(self))]
    pub async fn change_limits(
        &self,
        job_seq: i64,
        change: &LimitsChange,
        seen: Option<i64>,
    ) -> Result<bool, StoreError> {
        let sql = "-- change_limits
            UPDATE jobs SET
                max_batches = CASE WHEN $2 THEN $3 ELSE max_batches END,
                budget_ms = CASE WHEN $4 THEN $5 * 1000 ELSE budget_ms END,
                deadline = CASE WHEN $6 THEN $7 ELSE deadline END,
                expired_at = CASE WHEN $6 THEN NULL ELSE expired_at END,
                tasks_per_minute = CASE WHEN $8 THEN $9 ELSE tasks_per_minute END,
                priority = COALESCE($10, priority),
                limits_version = limits_version + 1
            WHERE seq = $1 AND limits_version = COALESCE($11, limits_version)";
        let done = sqlx::query(sql)
            .bind(job_seq)
            .bind(change.max_concurrent.is_some())
            .bind(change.max_concurrent.flatten())
            .bind(change.budget_gpu_seconds.is_some())
            .bind(change.budget_gpu_seconds.flatten())
            .bind(change.deadline.is_some())
            .bind(change.deadline.flatten())
            .bind(change.tasks_per_minute.is_some())
            .bind(change.tasks_per_minute.flatten())
            .bind(change.priority)
            .bind(seen)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Writes a new job's limits.
pub(crate) async fn write_limits(conn: &mut PgConnection, job_seq: i64, limits: &Limits) -> Result<(), StoreError> {
    if limits.is_none() {
        return Ok(());
    }
    let sql = "-- submit: limits
        UPDATE jobs SET max_batches = $2, budget_ms = $3 * 1000, deadline = $4, tasks_per_minute = $5 WHERE seq = $1";
    sqlx::query(sql)
        .bind(job_seq)
        // safe to narrow: validation allows a million
        .bind(limits.max_concurrent.map(|n| n as i32))
        .bind(limits.budget_gpu_seconds)
        .bind(limits.deadline)
        .bind(limits.tasks_per_minute)
        .execute(conn)
        .await?;
    Ok(())
}

/// The open jobs that a limit holds back now.
pub(crate) async fn held_back(store: &Store) -> Result<BTreeMap<i64, Hold>, StoreError> {
    let all = allowances(&store.pool, None).await?;
    Ok(all.into_iter().filter_map(|(seq, allowance)| Some((seq, allowance.hold()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_is_allowed_while_anything_is_left_and_none_after() {
        let budget = |ms| Allowance { budget_ms: Some(ms), ..Allowance::default() };
        assert_eq!(budget(1000.0).tasks(16, 300.0), 3);
        assert_eq!(budget(10.0).tasks(16, 300.0), 1);
        assert_eq!((budget(0.0).tasks(16, 300.0), budget(0.0).hold()), (0, Some(Hold::Budget)));
        let rate = Allowance { tokens: Some(2.9), project_tokens: Some(7.0), ..Allowance::default() };
        assert_eq!(rate.tasks(16, 300.0), 2);
        assert_eq!(Allowance { tokens: Some(0.9), ..rate }.hold(), Some(Hold::JobRate));
        assert_eq!(Allowance::default().tasks(16, 0.0), 16);
        assert_eq!(Allowance { project_batches: Some(0), ..rate }.hold(), Some(Hold::ProjectBatches));
    }
}
