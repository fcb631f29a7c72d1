//! Tasks as they stand, for people and tests. What changes them is in `dispatch`, `outcomes` and `sweep`.

use crate::columns::{Place, edit_value, seed_value};
use crate::{Phase, Store, StoreError};
use chrono::{DateTime, Utc};
use domain::ids::Epoch;
use domain::task_state::{Task, TaskState};
use domain::{BatchId, BootId, Digest, Stage, StageKey, TaskId};
use uuid::Uuid;

/// A task as handed out once. Whoever speaks of another epoch is late, doubled or a zombie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fence {
    /// The task.
    pub task: TaskId,
    /// The epoch of the hand-out.
    pub epoch: Epoch,
}

impl Fence {
    pub(crate) const fn new(job: i64, no: i32, epoch: Epoch) -> Self {
        Self { task: TaskId { job, no }, epoch }
    }
}

/// Fences as three columns, for `unnest`.
pub(crate) struct FenceColumns {
    pub jobs: Vec<i64>,
    pub nos: Vec<i32>,
    pub epochs: Vec<i64>,
}

impl FenceColumns {
    pub(crate) fn of<'a>(fences: impl Iterator<Item = &'a Fence> + Clone) -> Self {
        Self {
            jobs: fences.clone().map(|f| f.task.job).collect(),
            nos: fences.clone().map(|f| f.task.no).collect(),
            epochs: fences.map(|f| f.epoch).collect(),
        }
    }
}

/// A task.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// What kind.
    pub stage: Stage,
    /// Epoch, failures and state, as the state machine sees it.
    pub task: Task,
    /// The edit; none for an inversion.
    pub edit_no: Option<i16>,
    /// The source; none for a training.
    pub ordinal: Option<i64>,
    /// Factor on the edit's change; edits only.
    pub strength: Option<f64>,
    /// The job's seed; edits only.
    pub seed: Option<u64>,
    /// Identity of the result.
    pub key: StageKey,
    /// Key of the latent it starts from; edits only.
    pub needs: Option<StageKey>,
    /// What was said about the last failure.
    pub detail: Option<String>,
    /// Why it was cancelled by itself: `request` or `deadline`; none if with its job, or not at all.
    pub cancelled_for: Option<String>,
    /// From where it goes on.
    pub checkpoint: Option<Digest>,
    /// Part done at the checkpoint, 0 to 1.
    pub done: f32,
    /// When its back-off ends.
    pub next_at: Option<DateTime<Utc>>,
    /// Last change of state.
    pub updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    job_seq: i64,
    no: i32,
    stage: String,
    state: String,
    edit_no: i16,
    attempts: i16,
    losses: i16,
    epoch: i64,
    ordinal: Option<i64>,
    strength: Option<f64>,
    seed: Option<i64>,
    key: Vec<u8>,
    needs: Option<Vec<u8>>,
    batch: Option<Uuid>,
    boot: Option<Uuid>,
    next_at: Option<DateTime<Utc>>,
    reason: Option<String>,
    detail: Option<String>,
    cancelled_for: Option<String>,
    checkpoint: Option<Vec<u8>>,
    done: f32,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for TaskRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = TaskId { job: row.job_seq, no: row.no };
        let at = Place { table: "tasks", row: &id };
        let reason = || at.parse("reason", at.required("reason", row.reason.as_deref())?);
        let state = match at.parse("state", &row.state)? {
            Phase::Blocked => TaskState::Blocked,
            Phase::Ready => TaskState::Ready,
            Phase::Dispatched => TaskState::Dispatched { batch: BatchId::from_uuid(at.required("batch", row.batch)?) },
            Phase::Running => TaskState::Running { boot: BootId::from_uuid(at.required("boot", row.boot)?) },
            Phase::RetryWait => TaskState::RetryWait { reason: reason()? },
            Phase::Paused => TaskState::Paused,
            Phase::Succeeded => TaskState::Succeeded,
            Phase::Dead => TaskState::Dead { reason: reason()? },
            Phase::Cancelled => TaskState::Cancelled,
        };
        Ok(Self {
            id,
            stage: at.parse("stage", &row.stage)?,
            task: Task { epoch: row.epoch, attempts: row.attempts, losses: row.losses, state },
            edit_no: edit_value(row.edit_no),
            ordinal: row.ordinal,
            strength: row.strength,
            seed: row.seed.map(seed_value),
            key: at.key("key", &row.key)?,
            needs: at.digest_opt("needs", row.needs.as_deref())?.map(StageKey),
            detail: row.detail,
            cancelled_for: row.cancelled_for,
            checkpoint: at.digest_opt("checkpoint", row.checkpoint.as_deref())?,
            done: row.done,
            next_at: row.next_at,
            updated_at: row.updated_at,
        })
    }
}

macro_rules! select_tasks {
    ($rest:literal) => {
        concat!(
            "-- tasks
            SELECT job_seq, no, stage::text, state::text, edit_no, attempts, losses, epoch, ordinal, strength, seed, key, needs,
                   batch, boot, next_at, reason, detail, cancelled_for, checkpoint, done, updated_at FROM tasks ",
            $rest
        )
    };
}

impl Store {
    /// The task of this id.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.task", skip(self))]
    pub async fn task(&self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        let sql = select_tasks!("WHERE job_seq = $1 AND no = $2");
        let row: Option<Row> = sqlx::query_as(sql).bind(id.job).bind(id.no).fetch_optional(&self.pool).await?;
        row.map(TaskRow::try_from).transpose()
    }

    /// The job's tasks by number, after the number `after_no`; only those in `phase` if one is given.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.tasks", skip(self))]
    pub async fn tasks(
        &self,
        job_seq: i64,
        phase: Option<Phase>,
        after_no: Option<i32>,
        limit: i64,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let sql = match phase {
            // written out, so that the planner sees the condition of the partial index
            Some(Phase::Dead) => select_tasks!(
                "WHERE job_seq = $1 AND no > $2 AND state = 'dead' AND $4::text IS NOT NULL ORDER BY no LIMIT $3"
            ),
            Some(_) => select_tasks!("WHERE job_seq = $1 AND no > $2 AND state = $4::task_state ORDER BY no LIMIT $3"),
            None => select_tasks!("WHERE job_seq = $1 AND no > $2 AND $4::text IS NULL ORDER BY no LIMIT $3"),
        };
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(job_seq)
            .bind(after_no.unwrap_or(-1))
            .bind(limit)
            .bind(phase.map(Phase::name))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(TaskRow::try_from).collect()
    }

    /// The tasks of these ids, in no order; those that are not there are left out.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.tasks_named", skip(self, ids))]
    pub async fn tasks_named(&self, ids: &[TaskId]) -> Result<Vec<TaskRow>, StoreError> {
        let sql = select_tasks!(
            "WHERE (job_seq, no) IN (SELECT * FROM unnest($1::bigint[], $2::integer[])) AND job_seq = ANY($1)"
        );
        let jobs: Vec<i64> = ids.iter().map(|id| id.job).collect();
        let nos: Vec<i32> = ids.iter().map(|id| id.no).collect();
        let rows: Vec<Row> = sqlx::query_as(sql).bind(jobs).bind(nos).fetch_all(&self.pool).await?;
        rows.into_iter().map(TaskRow::try_from).collect()
    }
}
