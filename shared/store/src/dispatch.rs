//! Handing out: who is next (fair among projects, then priority, then jobs), and the claim of a batch with its outbox message.
//!
//! Fairness is start-time fair queueing over GPU milliseconds: a project's virtual time is `served_ms / weight`, the lowest goes
//! first. A claim is charged with an estimate, which its outcome replaces by the measured time; charges travel in `count_deltas`,
//! so no project's row is hot. A project that comes back from idling starts at the lowest virtual time of those that wait, so
//! it cannot spend what it did not use before.

use crate::columns::{Place, edit_column, edit_value, seed_value};
use crate::error::retrying;
use crate::jobs::{edits_of, job_by_seq};
use crate::masks::masks_of;
use crate::outbox::{OutboxKind, insert};
use crate::{EditRow, Fence, JobRow, OutboxMessage, Store, StoreError};
use domain::{BatchId, Digest, Landmarks, ProjectId, Stage, StageKey, TaskId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Seconds of waiting that count as one step of priority.
const AGEING_S: f64 = 600.0;

/// The workers of one class and what they hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassWindow {
    /// The queue class, for example `cpu`.
    pub class: String,
    /// Workers heard of within 45 s that take work.
    pub workers: i64,
    /// Batches handed out and not finished, by stage.
    pub in_flight: BTreeMap<Stage, i64>,
}

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
    /// Measured GPU milliseconds of one such task; none before the first.
    pub estimate_ms: Option<f64>,
}

/// What to claim.
#[derive(Clone, PartialEq, Debug)]
pub struct ClaimRequest {
    /// The job.
    pub job_seq: i64,
    /// Which kind of task.
    pub stage: Stage,
    /// The edit; none for inversions.
    pub edit_no: Option<i16>,
    /// Most tasks of the batch; a training is always alone.
    pub limit: i64,
    /// The class of workers it is for.
    pub class: String,
    /// GPU milliseconds to charge for each task until the measured time is known.
    pub estimate_ms: f64,
}

/// A batch that is handed out by the transaction it was claimed in.
#[derive(Clone, PartialEq, Debug)]
pub struct ClaimedBatch {
    /// The hand-out.
    pub batch: BatchId,
    /// The class of workers it is for.
    pub class: String,
    /// The job.
    pub job: JobRow,
    /// The tasks.
    pub tasks: ClaimedTasks,
}

/// The tasks of a batch.
#[derive(Clone, PartialEq, Debug)]
pub enum ClaimedTasks {
    /// Sources to latents.
    Invert(Vec<ClaimedInvert>),
    /// One mapper.
    Train {
        /// The edit it is for.
        edit: EditRow,
        /// The task.
        task: ClaimedTrain,
    },
    /// Latents to edited images.
    Edit {
        /// The edit; its gate is `None` or `Open` with the mapper.
        edit: EditRow,
        /// The tasks.
        tasks: Vec<ClaimedEdit>,
    },
}

impl ClaimedBatch {
    /// How many tasks it has.
    pub const fn len(&self) -> usize {
        match &self.tasks {
            ClaimedTasks::Invert(tasks) => tasks.len(),
            ClaimedTasks::Train { .. } => 1,
            ClaimedTasks::Edit { tasks, .. } => tasks.len(),
        }
    }

    /// Never: a batch without tasks is not claimed.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A source image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimedSource {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Where it was registered from.
    pub uri: String,
    /// Its place in the dataset.
    pub ordinal: i64,
}

/// An inversion to do.
#[derive(Clone, PartialEq, Debug)]
pub struct ClaimedInvert {
    /// The task.
    pub fence: Fence,
    /// Identity of the result.
    pub key: StageKey,
    /// The image.
    pub source: ClaimedSource,
    /// The face in it, as the dataset has it now: whether the key was made of it is for the caller to see.
    pub landmarks: Option<Landmarks>,
    /// Where an earlier slice of work stopped.
    pub checkpoint: Option<Digest>,
}

/// A training to do.
#[derive(Clone, PartialEq, Debug)]
pub struct ClaimedTrain {
    /// The task.
    pub fence: Fence,
    /// Identity of the result.
    pub key: StageKey,
    /// The object that lists the training images.
    pub training_set: Digest,
    /// Where an earlier slice of work stopped.
    pub checkpoint: Option<Digest>,
}

/// An edit to do.
#[derive(Clone, PartialEq, Debug)]
pub struct ClaimedEdit {
    /// The task.
    pub fence: Fence,
    /// Identity of the result.
    pub key: StageKey,
    /// The image the latent came from.
    pub source: ClaimedSource,
    /// The latent's artifact.
    pub latent: Digest,
    /// The source's mask, where the edit is confined to one and the source has it.
    pub mask: Option<Digest>,
    /// Factor on the edit's change.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
    /// Where an earlier slice of work stopped.
    pub checkpoint: Option<Digest>,
}

#[derive(sqlx::FromRow)]
struct Lane {
    seq: i64,
    project: Uuid,
    backlogged: bool,
    priority: i16,
    waited_s: f64,
    job_ms: f64,
    stage: String,
    edit_no: i16,
    estimate_ms: Option<f64>,
}

#[derive(sqlx::FromRow)]
struct Picked {
    no: i32,
    epoch: i64,
    key: Vec<u8>,
    ordinal: Option<i64>,
    strength: Option<f64>,
    seed: Option<i64>,
    checkpoint: Option<Vec<u8>>,
    sha256: Option<Vec<u8>>,
    uri: Option<String>,
    landmarks: Option<Value>,
    latent: Option<Vec<u8>>,
}

impl Store {
    /// Live workers and batches under way, by class. A class with neither is left out.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.window_state", skip(self))]
    pub async fn window_state(&self) -> Result<Vec<ClassWindow>, StoreError> {
        let sql = "-- window_state
            WITH alive AS (
                SELECT class, count(*) AS n FROM workers
                WHERE state = 'live' AND last_seen > now() - interval '45 seconds' GROUP BY class),
            held AS (
                SELECT b.class, b.stage, count(*) AS n
                FROM (SELECT DISTINCT batch FROM tasks WHERE state IN ('dispatched', 'running')) AS t
                JOIN batches b ON b.id = t.batch GROUP BY 1, 2)
            SELECT class, COALESCE(a.n, 0), h.stage::text, COALESCE(h.n, 0)
            FROM alive a FULL JOIN held h USING (class) ORDER BY class";
        let rows: Vec<(String, i64, Option<String>, i64)> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        let mut classes: BTreeMap<String, ClassWindow> = BTreeMap::new();
        for (class, workers, stage, batches) in rows {
            let stage = stage.map(|s| Place { table: "batches", row: &class }.parse("stage", &s)).transpose()?;
            let window = classes.entry(class.clone()).or_insert_with(|| ClassWindow {
                class,
                workers,
                in_flight: BTreeMap::new(),
            });
            if let Some(stage) = stage {
                window.in_flight.insert(stage, batches);
            }
        }
        Ok(classes.into_values().collect())
    }

    /// Everything that could be handed out now, in fair order: the project with the least served per weight, then priority
    /// (which grows with waiting), then the job that was served least; within a job trainings first, because all else of their
    /// edit waits for them, then edits, so that begun images get finished, then inversions.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.backlog", skip(self))]
    pub async fn backlog(&self) -> Result<Vec<Backlog>, StoreError> {
        let mut lanes: Vec<Lane> = sqlx::query_as(include_str!("../queries/backlog.sql")).fetch_all(&self.pool).await?;
        let waiting: BTreeSet<Uuid> = lanes.iter().map(|l| l.project).collect();
        let all_known = lanes.iter().all(|l| l.backlogged);
        retrying!(self.note_backlogged(&waiting, all_known).await)?;
        let times = self.virtual_times(&waiting).await?;
        let time = |lane: &Lane| times.get(&lane.project).copied().unwrap_or(0.0);
        let urgency = |lane: &Lane| i64::from(lane.priority) + (lane.waited_s / AGEING_S) as i64;
        let eagerness = |lane: &Lane| match lane.stage.as_str() {
            "train" => 0,
            "edit" => 1,
            _ => 2,
        };
        lanes.sort_by(|a, b| {
            (time(a).total_cmp(&time(b)))
                // equal times: keep a project's lanes together
                .then_with(|| a.project.cmp(&b.project))
                .then_with(|| urgency(b).cmp(&urgency(a)))
                .then_with(|| a.job_ms.total_cmp(&b.job_ms))
                .then_with(|| a.seq.cmp(&b.seq))
                .then_with(|| eagerness(a).cmp(&eagerness(b)))
                .then_with(|| a.edit_no.cmp(&b.edit_no))
        });
        let backlog = |lane: Lane| {
            Ok(Backlog {
                job_seq: lane.seq,
                project: ProjectId::from_uuid(lane.project),
                stage: Place { table: "tasks", row: &lane.seq }.parse("stage", &lane.stage)?,
                edit_no: edit_value(lane.edit_no),
                estimate_ms: lane.estimate_ms,
            })
        };
        lanes.into_iter().map(backlog).collect()
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

    /// Claims ready tasks of one lane as a batch, with the message that hands them out: all in one transaction. None if there is
    /// nothing to claim any more. `build` makes the message from what was claimed; it may be called again for another claim if
    /// the transaction has to be repeated, so it must do nothing else.
    ///
    /// # Errors
    /// When a source or latent of a ready task is missing, or the database fails; then nothing is claimed.
    #[tracing::instrument(name = "db.claim_batch", skip_all, fields(job_seq = request.job_seq, stage = %request.stage))]
    pub async fn claim_batch(
        &self,
        request: &ClaimRequest,
        build: impl Fn(&ClaimedBatch) -> OutboxMessage,
    ) -> Result<Option<ClaimedBatch>, StoreError> {
        retrying!(self.try_claim_batch(request, &build).await)
    }

    async fn try_claim_batch(
        &self,
        request: &ClaimRequest,
        build: &impl Fn(&ClaimedBatch) -> OutboxMessage,
    ) -> Result<Option<ClaimedBatch>, StoreError> {
        let batch = Uuid::now_v7();
        let limit = if request.stage == Stage::Train { 1 } else { request.limit };
        let mut tx = self.pool.begin().await?;
        let picked: Vec<Picked> = sqlx::query_as(include_str!("../queries/claim_batch.sql"))
            .bind(request.job_seq)
            .bind(request.stage.name())
            .bind(edit_column(request.edit_no))
            .bind(limit)
            .bind(batch)
            .bind(request.estimate_ms as f32)
            .bind(&request.class)
            .fetch_all(&mut *tx)
            .await?;
        if picked.is_empty() {
            return Ok(None);
        }
        let job = job_by_seq(&mut *tx, request.job_seq).await?;
        let job = job.ok_or_else(|| StoreError::Missing { what: format!("job {}", request.job_seq) })?;
        let edit = match request.edit_no {
            Some(edit_no) => edits_of(&mut *tx, request.job_seq, Some(edit_no)).await?.pop(),
            None => None,
        };
        let mut tasks = claimed_tasks(request, picked, edit)?;
        if let ClaimedTasks::Edit { edit, tasks } = &mut tasks
            && let Some(name) = edit.spec.method.guards().mask()
        {
            let ordinals: Vec<i64> = tasks.iter().map(|t| t.source.ordinal).collect();
            let masks = masks_of(&mut tx, job.dataset.as_uuid(), &ordinals, name).await?;
            tasks.iter_mut().for_each(|task| task.mask = masks.get(&task.source.ordinal).copied());
        }
        let claimed = ClaimedBatch { batch: BatchId::from_uuid(batch), class: request.class.clone(), job, tasks };
        insert(&mut tx, OutboxKind::Work { batch: claimed.batch }, &build(&claimed)).await?;
        tx.commit().await?;
        Ok(Some(claimed))
    }
}

fn claimed_tasks(
    request: &ClaimRequest,
    picked: Vec<Picked>,
    edit: Option<EditRow>,
) -> Result<ClaimedTasks, StoreError> {
    let edit = || {
        edit.ok_or_else(|| StoreError::Missing {
            what: format!("edit {:?} of job {}", request.edit_no, request.job_seq),
        })
    };
    match request.stage {
        Stage::Invert => {
            Ok(ClaimedTasks::Invert(picked.into_iter().map(|p| p.invert(request.job_seq)).collect::<Result<_, _>>()?))
        }
        Stage::Edit => {
            let tasks = picked.into_iter().map(|p| p.edit(request.job_seq)).collect::<Result<_, _>>()?;
            Ok(ClaimedTasks::Edit { edit: edit()?, tasks })
        }
        Stage::Train => {
            let edit = edit()?;
            let id = TaskId { job: request.job_seq, no: picked[0].no };
            let at = Place { table: "job_edits", row: &id };
            let training = at.required("training_set", edit.training)?;
            let task = ClaimedTrain {
                fence: Fence { task: id, epoch: picked[0].epoch },
                key: at.key("key", &picked[0].key)?,
                training_set: training.training_set,
                checkpoint: at.digest_opt("checkpoint", picked[0].checkpoint.as_deref())?,
            };
            Ok(ClaimedTasks::Train { edit, task })
        }
    }
}

impl Picked {
    fn source(&self, at: Place<'_>) -> Result<ClaimedSource, StoreError> {
        let sha256 = at.required("sha256 of its source", self.sha256.as_deref())?;
        Ok(ClaimedSource {
            sha256: at.digest("sha256 of its source", sha256)?,
            uri: at.required("uri of its source", self.uri.clone())?,
            ordinal: at.required("ordinal", self.ordinal)?,
        })
    }

    fn invert(self, job: i64) -> Result<ClaimedInvert, StoreError> {
        let id = TaskId { job, no: self.no };
        let at = Place { table: "tasks", row: &id };
        Ok(ClaimedInvert {
            fence: Fence { task: id, epoch: self.epoch },
            key: at.key("key", &self.key)?,
            source: self.source(at)?,
            landmarks: self.landmarks.map(|points| at.json("landmarks of its source", points)).transpose()?,
            checkpoint: at.digest_opt("checkpoint", self.checkpoint.as_deref())?,
        })
    }

    fn edit(self, job: i64) -> Result<ClaimedEdit, StoreError> {
        let id = TaskId { job, no: self.no };
        let at = Place { table: "tasks", row: &id };
        Ok(ClaimedEdit {
            fence: Fence { task: id, epoch: self.epoch },
            key: at.key("key", &self.key)?,
            source: self.source(at)?,
            latent: at.digest("latent", at.required("latent", self.latent.as_deref())?)?,
            mask: None,
            strength: at.required("strength", self.strength)?,
            seed: seed_value(at.required("seed", self.seed)?),
            checkpoint: at.digest_opt("checkpoint", self.checkpoint.as_deref())?,
        })
    }
}
