//! Who is next: fair among projects, then priority, then fair among a project's jobs.
//!
//! Fairness is start-time fair queueing over GPU milliseconds: a project's virtual time is `served_ms / weight`, the lowest goes
//! first. A claim is charged with an estimate, which its outcome replaces by the measured time; charges travel in `count_deltas`,
//! so no project's row is hot. A project that comes back from idling starts at the lowest virtual time of those that wait, so
//! it cannot spend what it did not use before.
//!
//! Jobs of one project and one urgency share in the same way. One that comes starts level with those that are there and goes
//! before them, so a job of one image waits for one burst and not for the million of its neighbour; and the neighbour need not
//! wait until a newcomer has caught up with it. A job under a limit that is reached does not count as waiting.

use crate::columns::{Place, edit_value};
use crate::error::retrying;
use crate::limits::held_back;
use crate::{Store, StoreError};
use domain::{Cost, Digest, ProjectId, Stage};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Seconds without a hand-out that count as one step of priority.
const AGEING_S: f64 = 600.0;

/// Work that could be handed out now: one lane of one job.
#[derive(Clone, PartialEq, Debug)]
pub struct Backlog {
    /// The job.
    pub job_seq: i64,
    /// Who owns it.
    pub project: ProjectId,
    /// Which kind of task.
    pub stage: Stage,
    /// The edit; none for inversions.
    pub edit_no: Option<i16>,
    /// The pack.
    pub pack: Digest,
    /// What its cost is learnt by; none for jobs that an earlier version wrote.
    pub cost: Option<Cost>,
    /// Whether the job or its project has limits: for [`crate::ClaimRequest`].
    pub limited: bool,
}

#[derive(sqlx::FromRow)]
struct Lane {
    seq: i64,
    project: Uuid,
    backlogged: bool,
    priority: i16,
    waited_s: f64,
    job_ms: f64,
    base_ms: Option<f64>,
    stage: String,
    edit_no: i16,
    pack_digest: Vec<u8>,
    cost: Option<String>,
    units: Option<f64>,
    limited: bool,
}

impl Lane {
    fn urgency(&self) -> i64 {
        i64::from(self.priority) + (self.waited_s / AGEING_S) as i64
    }

    /// Within a job: trainings first, because all else of their edit waits for them, then edits, so that begun images get
    /// finished, then inversions.
    fn eagerness(&self) -> u8 {
        match self.stage.as_str() {
            "train" => 0,
            "edit" => 1,
            _ => 2,
        }
    }

    fn backlog(self) -> Result<Backlog, StoreError> {
        let at = Place { table: "jobs", row: &self.seq };
        Ok(Backlog {
            job_seq: self.seq,
            project: ProjectId::from_uuid(self.project),
            stage: at.parse("stage", &self.stage)?,
            edit_no: edit_value(self.edit_no),
            pack: at.digest("pack_digest", &self.pack_digest)?,
            cost: self.cost.zip(self.units).map(|(name, units)| Cost { name, units }),
            limited: self.limited,
        })
    }
}

impl Store {
    /// Everything that could be handed out now, in fair order: the project with the least served per weight, then priority
    /// (which grows with waiting), then the job that was served least since it came, then as its stages ask for.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.backlog", skip(self))]
    pub async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        let mut lanes: Vec<Lane> = sqlx::query_as(include_str!("../queries/backlog.sql")).fetch_all(&self.pool).await?;
        if lanes.iter().any(|lane| lane.limited) {
            let held = held_back(self).await?;
            lanes.retain(|lane| !held.contains_key(&lane.seq));
        }
        let waiting: BTreeSet<Uuid> = lanes.iter().map(|l| l.project).collect();
        let all_known = lanes.iter().all(|l| l.backlogged);
        retrying!(self.note_backlogged(&waiting, all_known).await)?;
        let turns = self.take_turns(&lanes).await?;
        let times = self.virtual_times(&waiting).await?;
        let time = |lane: &Lane| times.get(&lane.project).copied().unwrap_or(0.0);
        let turn = |lane: &Lane| turns.get(&lane.seq).copied().unwrap_or(0.0);
        lanes.sort_by(|a, b| {
            (time(a).total_cmp(&time(b)))
                // equal times: keep a project's lanes together
                .then_with(|| a.project.cmp(&b.project))
                .then_with(|| b.urgency().cmp(&a.urgency()))
                .then_with(|| turn(a).total_cmp(&turn(b)))
                // a newcomer is level with who was there, and goes first
                .then_with(|| b.seq.cmp(&a.seq))
                .then_with(|| a.eagerness().cmp(&b.eagerness()))
                .then_with(|| a.edit_no.cmp(&b.edit_no))
        });
        lanes.into_iter().map(Lane::backlog).collect()
    }

    /// Notes who waits, and lifts those who did not wait before to the level of those who did.
    async fn note_backlogged(&self, waiting: &BTreeSet<Uuid>, all_known: bool) -> Result<(), StoreError> {
        let waiting: Vec<Uuid> = waiting.iter().copied().collect();
        if !all_known {
            let sql = "-- note_backlogged: enter
                WITH level AS (
                    SELECT COALESCE(min(served_ms / weight) FILTER (WHERE backlogged AND id = ANY($1)), max(served_ms / weight)) AS v
                    FROM projects)
                UPDATE projects p SET backlogged = true, served_ms = GREATEST(p.served_ms, level.v * p.weight)
                FROM level WHERE p.id = ANY($1) AND NOT p.backlogged";
            sqlx::query(sql).bind(&waiting).execute(&self.pool).await?;
        }
        let sql = "-- note_backlogged: leave
            UPDATE projects SET backlogged = false WHERE backlogged AND NOT id = ANY($1)";
        sqlx::query(sql).bind(&waiting).execute(&self.pool).await?;
        Ok(())
    }

    async fn virtual_times(&self, projects: &BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, f64>, StoreError> {
        let sql = "-- virtual_times
            WITH unfolded AS (
                SELECT j.project, sum(d.charge_ms) AS ms FROM count_deltas d JOIN jobs j ON j.seq = d.job_seq
                WHERE d.charge_ms <> 0 GROUP BY j.project)
            SELECT p.id, (p.served_ms + COALESCE(u.ms, 0)) / p.weight
            FROM projects p LEFT JOIN unfolded u ON u.project = p.id WHERE p.id = ANY($1)";
        let projects: Vec<Uuid> = projects.iter().copied().collect();
        let rows: Vec<(Uuid, f64)> = sqlx::query_as(sql).bind(projects).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }

    /// What each waiting job was served since it came, on the scale of its project's jobs. Jobs that were not waiting at the last
    /// look are lifted to the lowest of those that were, and noted; those that wait no more are forgotten.
    async fn take_turns(&self, lanes: &[Lane]) -> Result<BTreeMap<i64, f64>, StoreError> {
        let known = lanes.iter().filter_map(|lane| Some((lane, lane.base_ms?)));
        let mut turns: BTreeMap<i64, f64> = known.clone().map(|(lane, base)| (lane.seq, lane.job_ms + base)).collect();
        let mut levels: BTreeMap<Uuid, f64> = BTreeMap::new();
        for (lane, base) in known {
            let level = levels.entry(lane.project).or_insert(f64::INFINITY);
            *level = level.min(lane.job_ms + base);
        }
        let new: BTreeMap<i64, f64> = lanes
            .iter()
            .filter(|lane| lane.base_ms.is_none())
            .map(|lane| {
                let level = levels.get(&lane.project).copied().unwrap_or(0.0);
                turns.insert(lane.seq, lane.job_ms.max(level));
                (lane.seq, (level - lane.job_ms).max(0.0))
            })
            .collect();
        if !new.is_empty() {
            let sql = "-- take_turns: enter
                INSERT INTO job_turns (job_seq, base_ms) SELECT * FROM unnest($1::bigint[], $2::float8[]) AS n(job_seq, base_ms)
                ORDER BY job_seq ON CONFLICT (job_seq) DO NOTHING";
            let (jobs, bases): (Vec<i64>, Vec<f64>) = new.into_iter().unzip();
            sqlx::query(sql).bind(jobs).bind(bases).execute(&self.pool).await?;
        }
        let sql = "-- take_turns: leave
            DELETE FROM job_turns WHERE job_seq IN (
                SELECT job_seq FROM job_turns WHERE NOT job_seq = ANY($1) FOR UPDATE SKIP LOCKED)";
        sqlx::query(sql).bind(turns.keys().copied().collect::<Vec<_>>()).execute(&self.pool).await?;
        Ok(turns)
    }
}
