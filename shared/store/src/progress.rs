//! Honest progress: rates smoothed by the leader, time left from what is left to be done, and why a job stands still. All from
//! rollups and bounded probes; tasks are never counted.
//!
//! The time left is the remaining cost over the effective rate. Cost is what the learnt estimates say of the tasks that are left;
//! the effective rate is the cost of what *succeeded* lately, so time lost on failures and repeats makes it longer. The band is
//! one standard deviation of that rate to both sides.

use crate::columns::Place;
use crate::error::retrying;
use crate::limits::allowances;
use crate::{Count, Estimates, Hold, JobRow, LeaderEpoch, Phase, Store, StoreError};
use chrono::{DateTime, Utc};
use domain::job_state::JobState;
use domain::{Cost, Stage};
use std::collections::BTreeMap;

/// Seconds over which rates are smoothed.
const SMOOTHING_S: f64 = 60.0;
/// Seconds between two looks at least: over less, counts of few tasks are no rate.
const LOOK_S: f64 = 2.0;

/// What the caller knows of the way to the workers, and the database does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Surroundings {
    /// The broker is connected to.
    pub broker_connected: bool,
    /// The broker has blocked publishers.
    pub broker_blocked: bool,
    /// Unsent messages from which on nothing is handed out.
    pub outbox_bound: i64,
}

/// Where the tasks of one stage stand.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StageProgress {
    /// The stage.
    pub stage: Stage,
    /// Tasks by phase, in the order of [`Phase::ALL`].
    phases: [i64; 9],
    /// Succeeded per second, smoothed; none before the second look.
    pub per_second: Option<f64>,
    /// Variance of that.
    variance: f64,
    /// Estimated GPU milliseconds of one task; none where nothing is known yet.
    pub estimate_ms: Option<f64>,
}

impl StageProgress {
    /// Tasks in a phase.
    pub fn tasks(&self, phase: Phase) -> i64 {
        Phase::ALL.into_iter().position(|p| p == phase).map_or(0, |at| self.phases[at])
    }

    /// All tasks.
    pub fn total(&self) -> i64 {
        self.phases.iter().sum()
    }

    /// Tasks that have not ended.
    pub fn left(&self) -> i64 {
        Phase::ALL.into_iter().zip(self.phases).filter(|(phase, _)| !phase.is_terminal()).map(|(_, n)| n).sum()
    }
}

/// The time left, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Eta {
    /// By the smoothed rate.
    pub seconds: f64,
    /// If it goes on one standard deviation faster.
    pub low: f64,
    /// If it goes on one standard deviation slower.
    pub high: f64,
}

/// Why a job does not go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stall {
    /// Stable code for programs, for example `no_workers`.
    pub code: &'static str,
    /// One sentence for people, with what to do.
    pub detail: String,
    /// When it goes on by itself, where that is known.
    pub until: Option<DateTime<Utc>>,
}

/// How far a job is.
#[derive(Clone, PartialEq, Debug)]
pub struct ProgressRow {
    /// Stages that have tasks.
    pub stages: Vec<StageProgress>,
    /// GPU milliseconds spent on hand-outs that ended.
    pub spent_ms: f64,
    /// GPU milliseconds that other jobs' results saved.
    pub saved_ms: f64,
    /// The time left; none while the job stands still, has ended, or nothing is known yet.
    pub eta: Option<Eta>,
    /// Why it does not go on.
    pub stall: Option<Stall>,
}

/// What a stall is told from.
#[derive(Clone, PartialEq, Debug, sqlx::FromRow)]
struct Facts {
    workers: i64,
    waiting_for_storage: i64,
    unsent: i64,
    training: Vec<String>,
    retry_at: Option<DateTime<Utc>>,
    expired: bool,
    claimable: bool,
}

impl Store {
    /// How far the job is. `counts` are the job's ([`Store::counts`]).
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.progress", skip_all, fields(job_seq = job.seq))]
    pub async fn progress(
        &self,
        job: &JobRow,
        counts: &[Count],
        around: &Surroundings,
    ) -> Result<ProgressRow, StoreError> {
        let estimates = self.estimates().await?;
        let costs = self.costs_of(job.seq).await?;
        let rates = self.rates_of(job.seq).await?;
        let stage = |stage: Stage| stage_progress(job, stage, counts, &rates, &costs, &estimates);
        let stages: Vec<StageProgress> = Stage::ALL.into_iter().map(stage).filter(|s| s.total() != 0).collect();
        let stall = if job.state.is_terminal() {
            None
        } else {
            let facts: Facts = sqlx::query_as(include_str!("../queries/stall_facts.sql"))
                .bind(job.seq)
                .bind(around.outbox_bound)
                .fetch_one(&self.pool)
                .await?;
            let allowance = allowances(&self.pool, Some(job.seq)).await?.remove(&job.seq);
            stall(job.state, &stages, &facts, allowance.and_then(|a| a.hold()), around)
        };
        let inversion_ms = mean(&costs, Stage::Invert, job, &estimates).unwrap_or(0.0);
        Ok(ProgressRow {
            eta: if stall.is_none() && !job.state.is_terminal() { eta(&stages) } else { None },
            stages,
            spent_ms: counts.iter().map(|c| c.gpu_ms).sum(),
            // what other jobs still computed when this one came is taken at its estimate
            saved_ms: job.saved_ms + job.saved_unknown as f64 * inversion_ms,
            stall,
        })
    }

    async fn costs_of(&self, job_seq: i64) -> Result<Vec<(Stage, Cost)>, StoreError> {
        let sql = "-- costs_of
            SELECT 'invert', invert_cost, invert_units FROM jobs WHERE seq = $1 AND invert_cost IS NOT NULL
            UNION ALL SELECT 'edit', edit_cost, edit_units FROM job_edits WHERE job_seq = $1 AND edit_cost IS NOT NULL
            UNION ALL SELECT 'train', train_cost, train_units FROM job_edits WHERE job_seq = $1 AND train_cost IS NOT NULL";
        let rows: Vec<(String, String, f64)> = sqlx::query_as(sql).bind(job_seq).fetch_all(&self.pool).await?;
        let at = Place { table: "jobs", row: &job_seq };
        rows.into_iter().map(|(stage, name, units)| Ok((at.parse("stage", &stage)?, Cost { name, units }))).collect()
    }

    /// Mean and variance of tasks done per second, by stage.
    async fn rates_of(&self, job_seq: i64) -> Result<BTreeMap<Stage, (f64, f64)>, StoreError> {
        let sql = "-- rates_of
            SELECT stage::text, sum / weight, GREATEST(0, squares / weight - (sum / weight) ^ 2)
            FROM job_rates WHERE job_seq = $1 AND weight > 0";
        let rows: Vec<(String, f64, f64)> = sqlx::query_as(sql).bind(job_seq).fetch_all(&self.pool).await?;
        let at = Place { table: "job_rates", row: &job_seq };
        rows.into_iter().map(|(stage, mean, var)| Ok((at.parse("stage", &stage)?, (mean, var)))).collect()
    }

    /// Looks how many tasks of each open job have succeeded since the last look, at least two seconds ago, and smooths the rate.
    /// Returns how many rates changed; zero when `epoch` is not the leader's any more.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.tick_rates", skip(self))]
    pub async fn tick_rates(&self, leadership: &str, epoch: LeaderEpoch) -> Result<u64, StoreError> {
        retrying!(self.try_tick_rates(leadership, epoch).await)
    }

    async fn try_tick_rates(&self, leadership: &str, epoch: LeaderEpoch) -> Result<u64, StoreError> {
        // exponential means whose weights are kept too: the first samples count in full, and a young mean is no slow rate
        let sql = "-- tick_rates
            WITH seen AS (
                SELECT r.job_seq, r.stage, COALESCE(sum(r.n) FILTER (WHERE r.state = 'succeeded'), 0)::bigint AS done
                FROM job_rollups r JOIN jobs j ON j.seq = r.job_seq
                WHERE j.state IN ('accepting', 'active', 'paused')
                    AND EXISTS (SELECT FROM leader WHERE name = $1 AND epoch = $2)
                GROUP BY r.job_seq, r.stage),
            sampled AS (
                SELECT s.job_seq, s.stage, s.done, a.job_seq IS NOT NULL AS known,
                       1 - exp(-extract(epoch FROM now() - a.at)::float8 / $3) AS share,
                       -- a revived task may succeed no second time, but counts never go down
                       GREATEST(0, s.done - a.done) / NULLIF(extract(epoch FROM now() - a.at)::float8, 0) AS rate
                FROM seen s LEFT JOIN job_rates a ON a.job_seq = s.job_seq AND a.stage = s.stage
                WHERE a.at IS NULL OR a.at <= now() - make_interval(secs => $4))
            INSERT INTO job_rates AS a (job_seq, stage, done, at, weight, sum, squares)
            SELECT job_seq, stage, done, now(), COALESCE(share, 0), COALESCE(share * rate, 0), COALESCE(share * rate * rate, 0)
            FROM sampled ORDER BY job_seq, stage
            ON CONFLICT (job_seq, stage) DO UPDATE SET
                done = excluded.done, at = excluded.at,
                weight = a.weight * (1 - excluded.weight) + excluded.weight,
                sum = a.sum * (1 - excluded.weight) + excluded.sum,
                squares = a.squares * (1 - excluded.weight) + excluded.squares";
        let ticked = sqlx::query(sql).bind(leadership).bind(epoch.0).bind(SMOOTHING_S).bind(LOOK_S);
        let changed = ticked.execute(&self.pool).await?.rows_affected();
        let over = "-- tick_rates: over
            DELETE FROM job_rates r USING jobs j
            WHERE j.seq = r.job_seq AND j.finished_at IS NOT NULL AND EXISTS (SELECT FROM leader WHERE name = $1 AND epoch = $2)";
        sqlx::query(over).bind(leadership).bind(epoch.0).execute(&self.pool).await?;
        Ok(changed)
    }
}

fn stage_progress(
    job: &JobRow,
    stage: Stage,
    counts: &[Count],
    rates: &BTreeMap<Stage, (f64, f64)>,
    costs: &[(Stage, Cost)],
    estimates: &Estimates,
) -> StageProgress {
    let of = |phase: Phase| counts.iter().filter(move |c| c.stage == stage && c.phase == phase);
    let phases = Phase::ALL.map(|phase| of(phase).map(|c| c.n).sum::<i64>());
    // before anything is learnt for its kind of work: what its own tasks took
    let own = || {
        let (n, ms) = of(Phase::Succeeded).fold((0, 0.0), |(n, ms), c| (n + c.n, ms + c.gpu_ms));
        (n > 0).then(|| ms / n as f64)
    };
    StageProgress {
        stage,
        phases,
        per_second: rates.get(&stage).map(|rate| rate.0),
        variance: rates.get(&stage).map_or(0.0, |rate| rate.1),
        estimate_ms: mean(costs, stage, job, estimates).or_else(own),
    }
}

/// The estimate of one task of the stage, a mean over the job's edits.
fn mean(costs: &[(Stage, Cost)], stage: Stage, job: &JobRow, estimates: &Estimates) -> Option<f64> {
    let costs = costs.iter().filter(|(of, _)| *of == stage);
    let known: Vec<f64> = costs.filter_map(|(_, cost)| estimates.task_ms(None, job.pack.digest, stage, cost)).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// None if a stage with tasks left has no estimate, or nothing succeeded lately.
fn eta(stages: &[StageProgress]) -> Option<Eta> {
    let mut left_ms = 0.0;
    for stage in stages.iter().filter(|stage| stage.left() > 0) {
        left_ms += stage.left() as f64 * stage.estimate_ms?;
    }
    let rated = || stages.iter().filter_map(|s| Some((s.per_second?, s.variance, s.estimate_ms?)));
    let rate: f64 = rated().map(|(per_second, _, ms)| per_second * ms).sum();
    let deviation = rated().map(|(_, variance, ms)| variance * ms * ms).sum::<f64>().sqrt();
    (rate > 0.0 && left_ms > 0.0).then(|| Eta {
        seconds: left_ms / rate,
        low: left_ms / (rate + deviation),
        // a rate that varies by more than itself says little; a tenth of it keeps the band finite
        high: left_ms / (rate - deviation).max(rate / 10.0),
    })
}

fn stall(
    state: JobState,
    stages: &[StageProgress],
    facts: &Facts,
    hold: Option<Hold>,
    around: &Surroundings,
) -> Option<Stall> {
    let sum = |phase: Phase| stages.iter().map(|s| s.tasks(phase)).sum::<i64>();
    let say = |code, detail: &str| Some(Stall { code, detail: detail.to_owned(), until: None });
    let with_workers = sum(Phase::Dispatched) + sum(Phase::Running);
    if stages.iter().all(|s| s.left() == 0) {
        return None;
    }
    if state == JobState::Paused {
        return say("paused", "it is paused; `cfx job resume` hands out work again");
    }
    if facts.expired {
        return say("deadline", "its deadline has passed: what was not begun is cancelled, what runs is finished");
    }
    if let Some(hold) = hold.filter(|_| facts.claimable) {
        return say(hold.code(), held(hold));
    }
    let broker = if !around.broker_connected {
        Some("the broker is not connected to; hand-outs wait in the outbox")
    } else if around.broker_blocked {
        Some("the broker blocks publishers (memory or disk alarm); hand-outs wait in the outbox")
    } else if facts.unsent >= around.outbox_bound {
        Some("the outbox is full: the broker takes messages slower than they are written, or refuses them")
    } else {
        None
    };
    if let Some(detail) = broker.filter(|_| sum(Phase::Running) == 0) {
        return say("broker_blocked", detail);
    }
    if facts.workers == 0 {
        return say("no_workers", "no worker is live; start one with `worker run`");
    }
    if facts.waiting_for_storage == facts.workers {
        return say("storage_slow", "every worker waits for the bucket to take its results and takes no more work");
    }
    let training = |stage: &StageProgress| stage.stage == Stage::Train;
    let others = stages.iter().filter(|s| !training(s));
    let others_run = others.map(|s| s.tasks(Phase::Dispatched) + s.tasks(Phase::Running)).sum::<i64>() > 0;
    if !facts.training.is_empty() && !others_run && (with_workers > 0 || !facts.claimable) && facts.retry_at.is_none() {
        let detail = format!("it waits for the training of the mapper of {}", facts.training.join(", "));
        return Some(Stall { code: "training", detail, until: None });
    }
    if with_workers > 0 {
        return None;
    }
    if facts.claimable {
        return say("turn", "its work is ready and waits for its turn");
    }
    if let Some(until) = facts.retry_at {
        let detail = "everything that is left waits out a back-off after failures".to_owned();
        return Some(Stall { code: "retry_backoff", detail, until: Some(until) });
    }
    if sum(Phase::Paused) > 0 && sum(Phase::Blocked) == 0 {
        return say(
            "tasks_paused",
            "all that is left was paused by a user; `cfx job resume JOB --task` lets a task go on",
        );
    }
    if sum(Phase::Blocked) > 0 {
        return say("other_job", "it waits for inversions that another job computes");
    }
    None
}

const fn held(hold: Hold) -> &'static str {
    match hold {
        Hold::Budget => "its budget of GPU time is spent; raise it with `cfx job set JOB --budget-gpu-seconds`",
        Hold::Quota => {
            "the project's quota of GPU time in 24 hours is spent; it goes on as hours pass, or after `cfx project set`"
        }
        Hold::JobBatches => "it has as many batches with workers as its max_concurrent allows",
        Hold::ProjectBatches => "the project has as many batches with workers as its max_concurrent allows",
        Hold::JobRate => "its rate limit is reached; it goes on within seconds",
        Hold::ProjectRate => "the project's rate limit is reached; it goes on within seconds",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Surroundings = Surroundings { broker_connected: true, broker_blocked: false, outbox_bound: 100 };

    fn stage(stage: Stage, tasks: &[(Phase, i64)]) -> StageProgress {
        let phases = Phase::ALL.map(|phase| tasks.iter().filter(|(p, _)| *p == phase).map(|(_, n)| n).sum());
        StageProgress { stage, phases, per_second: Some(2.0), variance: 0.25, estimate_ms: Some(500.0) }
    }

    fn facts() -> Facts {
        Facts {
            workers: 2,
            waiting_for_storage: 0,
            unsent: 0,
            training: vec![],
            retry_at: None,
            expired: false,
            claimable: true,
        }
    }

    #[test]
    fn time_left_is_what_is_left_over_the_rate_with_a_band() {
        // 100 tasks at 500 ms, done at 2 a second: a GPU-second a second
        let inverts = stage(Stage::Invert, &[(Phase::Ready, 100), (Phase::Succeeded, 7)]);
        let found = eta(&[inverts]).unwrap();
        assert!((found.seconds - 50.0).abs() < 1e-9, "{found:?}");
        // deviation 0.5 a second: a quarter of the rate
        assert!((found.low - 40.0).abs() < 1e-9 && (found.high - 50.0 / 0.75).abs() < 1e-9, "{found:?}");
        let edits = StageProgress { per_second: None, ..stage(Stage::Edit, &[(Phase::Blocked, 100)]) };
        assert!((eta(&[inverts, edits]).unwrap().seconds - 100.0).abs() < 1e-9);
        assert_eq!(eta(&[inverts, StageProgress { estimate_ms: None, ..edits }]), None, "an unknown cost is no zero");
        assert_eq!(eta(&[StageProgress { per_second: Some(0.0), ..inverts }]), None);
    }

    #[test]
    fn a_job_that_stands_still_says_why() {
        let ready = [stage(Stage::Invert, &[(Phase::Ready, 5)])];
        let code = |state, stages: &[StageProgress], facts: &Facts, hold, around: &Surroundings| {
            stall(state, stages, facts, hold, around).map(|s| s.code)
        };
        let active = |facts: Facts| code(JobState::Active, &ready, &facts, None, &FINE);
        assert_eq!(code(JobState::Paused, &ready, &facts(), None, &FINE), Some("paused"));
        assert_eq!(code(JobState::Active, &ready, &facts(), Some(Hold::Quota), &FINE), Some("quota"));
        assert_eq!(active(facts()), Some("turn"));
        assert_eq!(active(Facts { workers: 0, ..facts() }), Some("no_workers"));
        assert_eq!(active(Facts { waiting_for_storage: 2, ..facts() }), Some("storage_slow"));
        assert_eq!(active(Facts { unsent: 100, ..facts() }), Some("broker_blocked"));
        assert_eq!(active(Facts { expired: true, ..facts() }), Some("deadline"));
        let blocked = Surroundings { broker_blocked: true, ..FINE };
        assert_eq!(code(JobState::Active, &ready, &facts(), None, &blocked), Some("broker_blocked"));
        let waiting = [stage(Stage::Edit, &[(Phase::Blocked, 5)])];
        let quiet = Facts { claimable: false, ..facts() };
        assert_eq!(code(JobState::Active, &waiting, &quiet, None, &FINE), Some("other_job"));
        let held = [stage(Stage::Edit, &[(Phase::Paused, 5)])];
        assert_eq!(code(JobState::Active, &held, &quiet, None, &FINE), Some("tasks_paused"));
        let gated = Facts { training: vec!["green".into()], ..quiet.clone() };
        assert_eq!(code(JobState::Active, &waiting, &gated, None, &FINE), Some("training"));
        let at = "2026-11-27T00:00:00Z".parse().ok();
        let told = stall(JobState::Active, &waiting, &Facts { retry_at: at, ..quiet }, None, &FINE).unwrap();
        assert_eq!((told.code, told.until), ("retry_backoff", at));
        let busy = [stage(Stage::Edit, &[(Phase::Running, 1), (Phase::Ready, 5)])];
        assert_eq!(code(JobState::Active, &busy, &facts(), None, &FINE), None);
        assert_eq!(code(JobState::Active, &[stage(Stage::Edit, &[(Phase::Dead, 1)])], &facts(), None, &FINE), None);
    }
}
