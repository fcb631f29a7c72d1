//! Handing out: the claim of a batch with its outbox message. Who is next is in `fairness`, what holds back in `limits`.

use crate::columns::{Place, edit_column, seed_value};
use crate::error::retrying;
use crate::jobs::{edits_of, job_by_seq};
use crate::limits::{admit, spend};
use crate::masks::masks_of;
use crate::outbox::{OutboxKind, insert};
use crate::{EditRow, Fence, JobRow, OutboxMessage, Store, StoreError};
use domain::{BatchId, Digest, Landmarks, Stage, StageKey, TaskId};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

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
    /// Whether the job or its project has limits, as [`crate::Backlog`] says: they are asked again, under a lock.
    pub limited: bool,
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
        let mut limit = if request.stage == Stage::Train { 1 } else { request.limit };
        let mut tx = self.pool.begin().await?;
        if request.limited {
            limit = admit(&mut tx, request.job_seq, limit, request.estimate_ms).await?;
            if limit == 0 {
                return Ok(None);
            }
        }
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
        if request.limited {
            spend(&mut tx, request.job_seq, claimed.len() as i64).await?;
        }
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
