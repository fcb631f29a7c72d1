//! Jobs: submitting (once per idempotency key) and reading. What moves them is in `job_control`, what fills them in `enqueue`.

use crate::columns::{Place, to_json};
use crate::error::retrying;
use crate::limits::write_limits;
use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::edit::EditSpec;
use domain::job::JobSpec;
use domain::job_state::JobState;
use domain::{DatasetId, Digest, JobId, Limits, Precision, ProjectId, StageKey};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// The pack a job was submitted on, as it was then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackFacts {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub digest: Digest,
    /// The object that holds `pack.toml`'s text.
    pub manifest: Digest,
}

/// A job to submit.
#[derive(Clone, PartialEq, Debug)]
pub struct NewJob {
    /// Who submits it.
    pub project: ProjectId,
    /// The same key in the same project is the same job.
    pub idempotency_key: String,
    /// Digest of the specification: the same key with another one is refused.
    pub spec_digest: Digest,
    /// Who submits it, as the request says.
    pub submitted_by: Option<String>,
    /// The trace of that request.
    pub traceparent: Option<String>,
    /// What is asked for.
    pub spec: JobSpec,
    /// The dataset it names.
    pub dataset: DatasetId,
    /// The pack it names.
    pub pack: PackFacts,
    /// Its edits, in order.
    pub edits: Vec<NewEdit>,
}

/// An edit of a job to submit.
#[derive(Clone, PartialEq, Debug)]
pub struct NewEdit {
    /// Its short name, unique in the job.
    pub slug: String,
    /// What is asked for.
    pub spec: EditSpec,
    /// Digest of the specification.
    pub digest: Digest,
    /// What must be trained first, if anything.
    pub training: Option<Training>,
    /// The mapper's artifact, for edits that bring it along.
    pub mapper: Option<Digest>,
}

/// What an edit waits for whose method trains a mapper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Training {
    /// Stage key of the mapper.
    pub mapper_key: StageKey,
    /// The object that lists the images it is trained on.
    pub training_set: Digest,
}

/// What submitting did.
#[derive(Clone, PartialEq, Debug)]
pub enum Submitted {
    /// A new job.
    Created(JobRow),
    /// The job was submitted before, with the same key.
    Same(JobRow),
    /// The key was used for a job with another specification.
    KeyReused,
}

/// A job.
#[derive(Clone, PartialEq, Debug)]
pub struct JobRow {
    /// Its number: half of its tasks' ids.
    pub seq: i64,
    /// Its id.
    pub id: JobId,
    /// Who owns it.
    pub project: ProjectId,
    /// The project's name.
    pub project_name: String,
    /// The dataset.
    pub dataset: DatasetId,
    /// The dataset's name.
    pub dataset_name: String,
    /// The pack.
    pub pack: PackFacts,
    /// What was asked for.
    pub spec: JobSpec,
    /// Digest of that.
    pub spec_digest: Digest,
    /// Where it stands.
    pub state: JobState,
    /// Higher goes first within the project.
    pub priority: i16,
    /// How far the writing of its tasks has come; the coordinator's own value, `null` at first.
    pub cursor: Value,
    /// Producer tasks it did not need, because another job computed or computes the same key.
    pub memoised: i64,
    /// GPU milliseconds charged so far (folded part).
    pub served_ms: f64,
    /// GPU milliseconds that the producers it did not need had cost, as far as known when its tasks were written.
    pub saved_ms: f64,
    /// Producers it did not need whose cost was not known then.
    pub saved_unknown: i64,
    /// What it may take at most, as it stands now: the specification's limits, or what was set since.
    pub limits: Limits,
    /// Counts changes of its limits and its priority.
    pub limits_version: i64,
    /// When it was found past its deadline.
    pub expired_at: Option<DateTime<Utc>>,
    /// Who submitted it; unknown for jobs of earlier versions.
    pub submitted_by: Option<String>,
    /// W3C trace context of the request that submitted it, where traces are sent.
    pub traceparent: Option<String>,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Whether an edit's tasks may be handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Nothing is to be trained.
    None,
    /// The mapper is not there yet.
    Waiting,
    /// The mapper is there.
    Open {
        /// Its artifact.
        mapper: Digest,
    },
    /// The mapper will never be there.
    Dead,
}

/// An edit of a job.
#[derive(Clone, PartialEq, Debug)]
pub struct EditRow {
    /// Its number in the job, from 0.
    pub edit_no: i16,
    /// Its short name.
    pub slug: String,
    /// What is asked for.
    pub spec: EditSpec,
    /// Digest of that.
    pub digest: Digest,
    /// What had to be trained first, if anything.
    pub training: Option<Training>,
    /// Whether its tasks may be handed out.
    pub gate: Gate,
}

/// Which jobs to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JobFilter<'a> {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those whose name, dataset or pack has this text in it, in capitals or not.
    pub text: Option<&'a str>,
}

#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    seq: i64,
    id: Uuid,
    project: Uuid,
    project_name: String,
    dataset: Uuid,
    dataset_name: String,
    pack_name: String,
    pack_digest: Vec<u8>,
    pack_manifest: Vec<u8>,
    spec: Value,
    spec_digest: Vec<u8>,
    state: String,
    priority: i16,
    cursor: Value,
    memoised: i64,
    served_ms: f64,
    saved_ms: f64,
    saved_unknown: i64,
    max_batches: Option<i32>,
    budget_ms: Option<f64>,
    deadline: Option<DateTime<Utc>>,
    tasks_per_minute: Option<f64>,
    limits_version: i64,
    expired_at: Option<DateTime<Utc>>,
    submitted_by: Option<String>,
    traceparent: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for JobRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let at = Place { table: "jobs", row: &row.seq };
        Ok(Self {
            id: JobId::from_uuid(row.id),
            project: ProjectId::from_uuid(row.project),
            project_name: row.project_name,
            dataset: DatasetId::from_uuid(row.dataset),
            dataset_name: row.dataset_name,
            pack: PackFacts {
                name: row.pack_name,
                digest: at.digest("pack_digest", &row.pack_digest)?,
                manifest: at.digest("pack_manifest", &row.pack_manifest)?,
            },
            spec: at.json("spec", row.spec)?,
            spec_digest: at.digest("spec_digest", &row.spec_digest)?,
            state: at.parse("state", &row.state)?,
            priority: row.priority,
            cursor: row.cursor,
            memoised: row.memoised,
            served_ms: row.served_ms,
            saved_ms: row.saved_ms,
            saved_unknown: row.saved_unknown,
            limits: Limits {
                max_concurrent: row.max_batches.map(i32::cast_unsigned),
                budget_gpu_seconds: row.budget_ms.map(|ms| ms / 1000.0),
                deadline: row.deadline,
                tasks_per_minute: row.tasks_per_minute,
            },
            limits_version: row.limits_version,
            expired_at: row.expired_at,
            submitted_by: row.submitted_by,
            traceparent: row.traceparent,
            created_at: row.created_at,
            finished_at: row.finished_at,
            seq: row.seq,
        })
    }
}

#[derive(sqlx::FromRow)]
struct EditColumns {
    edit_no: i16,
    slug: String,
    spec: Value,
    digest: Vec<u8>,
    gate: String,
    mapper_key: Option<Vec<u8>>,
    training_set: Option<Vec<u8>>,
    mapper: Option<Vec<u8>>,
}

impl EditColumns {
    fn into_edit(self, job_seq: i64) -> Result<EditRow, StoreError> {
        let name = format!("{job_seq}/{}", self.edit_no);
        let at = Place { table: "job_edits", row: &name };
        let gate = match self.gate.as_str() {
            "none" => Gate::None,
            "waiting" => Gate::Waiting,
            "open" => Gate::Open { mapper: at.digest("mapper", &at.required("mapper", self.mapper)?)? },
            "dead" => Gate::Dead,
            other => return Err(at.corrupt("gate", format!("'{other}' is not a gate's state"))),
        };
        let training = match (self.mapper_key, self.training_set) {
            (Some(key), Some(set)) => Some(Training {
                mapper_key: at.key("mapper_key", &key)?,
                training_set: at.digest("training_set", &set)?,
            }),
            _ => None,
        };
        Ok(EditRow {
            edit_no: self.edit_no,
            slug: self.slug,
            spec: at.json("spec", self.spec)?,
            digest: at.digest("digest", &self.digest)?,
            training,
            gate,
        })
    }
}

macro_rules! select_jobs {
    ($rest:literal) => {
        concat!(
            "-- jobs
            SELECT j.seq, j.id, j.project, p.name AS project_name, j.dataset, d.name AS dataset_name, j.pack_name, j.pack_digest,
                   j.pack_manifest, j.spec, j.spec_digest, j.state::text, j.priority, j.cursor, j.memoised, j.served_ms,
                   j.saved_ms, j.saved_unknown, j.max_batches, j.budget_ms, j.deadline, j.tasks_per_minute, j.expired_at,
                   j.limits_version, j.submitted_by, j.traceparent, j.created_at, j.finished_at
            FROM jobs j JOIN projects p ON p.id = j.project JOIN datasets d ON d.id = j.dataset ",
            $rest
        )
    };
}
pub(crate) use select_jobs;

impl Store {
    /// Accepts a job, with no tasks yet: they follow in slices ([`Store::write_slice`]).
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.submit", skip_all, fields(key = job.idempotency_key))]
    pub async fn submit(&self, job: &NewJob) -> Result<Submitted, StoreError> {
        retrying!(self.try_submit(job).await)
    }

    async fn try_submit(&self, job: &NewJob) -> Result<Submitted, StoreError> {
        // looked up first, so that repeats burn no job numbers (each would move the tasks' partitions on)
        if let Some(earlier) = self.submitted(job).await? {
            return Ok(earlier);
        }
        let inversion = job.spec.inversion.cost(job.spec.precision);
        let mut tx = self.pool.begin().await?;
        let sql = "-- submit
            INSERT INTO jobs (id, project, idempotency_key, spec_digest, spec, dataset, pack_name, pack_digest, pack_manifest, priority,
                              invert_cost, invert_units, submitted_by, traceparent)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            ON CONFLICT ON CONSTRAINT jobs_idempotency DO NOTHING RETURNING seq";
        let seq: Option<i64> = sqlx::query_scalar(sql)
            .bind(Uuid::now_v7())
            .bind(job.project.as_uuid())
            .bind(&job.idempotency_key)
            .bind(job.spec_digest.as_bytes().as_slice())
            .bind(to_json("job specification", &job.spec)?)
            .bind(job.dataset.as_uuid())
            .bind(&job.pack.name)
            .bind(job.pack.digest.as_bytes().as_slice())
            .bind(job.pack.manifest.as_bytes().as_slice())
            .bind(job.spec.priority)
            .bind(&inversion.name)
            .bind(inversion.units)
            .bind(&job.submitted_by)
            .bind(&job.traceparent)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(seq) = seq else {
            tx.rollback().await?;
            let missing = || StoreError::Missing { what: format!("job with key '{}'", job.idempotency_key) };
            return self.submitted(job).await?.ok_or_else(missing);
        };
        sqlx::query("-- submit: partition\nSELECT ensure_task_partition($1)").bind(seq).execute(&mut *tx).await?;
        write_limits(&mut tx, seq, &job.spec.limits).await?;
        write_edits(&mut tx, seq, &job.edits, job.spec.precision).await?;
        let row = job_by_seq(&mut *tx, seq).await?;
        tx.commit().await?;
        let row = row.ok_or_else(|| StoreError::Missing { what: format!("job {seq}") })?;
        Ok(Submitted::Created(row))
    }

    async fn submitted(&self, job: &NewJob) -> Result<Option<Submitted>, StoreError> {
        let sql = select_jobs!("WHERE j.project = $1 AND j.idempotency_key = $2");
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(job.project.as_uuid())
            .bind(&job.idempotency_key)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row.map(JobRow::try_from).transpose()? else { return Ok(None) };
        let same = row.spec_digest == job.spec_digest;
        Ok(Some(if same { Submitted::Same(row) } else { Submitted::KeyReused }))
    }

    /// The project's job of this id.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.job", skip(self))]
    pub async fn job(&self, project: ProjectId, id: JobId) -> Result<Option<JobRow>, StoreError> {
        let sql = select_jobs!("WHERE j.project = $1 AND j.id = $2");
        let row: Option<Row> =
            sqlx::query_as(sql).bind(project.as_uuid()).bind(id.as_uuid()).fetch_optional(&self.pool).await?;
        row.map(JobRow::try_from).transpose()
    }

    /// The job of this number.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.job_by_seq", skip(self))]
    pub async fn job_by_seq(&self, seq: i64) -> Result<Option<JobRow>, StoreError> {
        job_by_seq(&self.pool, seq).await
    }

    /// The project's jobs, newest first, before the number `after` of the last page.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.jobs", skip(self))]
    pub async fn jobs(
        &self,
        project: ProjectId,
        filter: JobFilter<'_>,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<JobRow>, StoreError> {
        let sql = select_jobs!(
            "WHERE j.project = $1 AND j.seq < $2 AND ($3::text IS NULL OR j.state = $3::job_state)
                AND ($5::text IS NULL OR strpos(lower(concat_ws(E'\n', j.spec ->> 'name', d.name, j.pack_name)), lower($5)) > 0)
            ORDER BY j.seq DESC LIMIT $4"
        );
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(project.as_uuid())
            .bind(after.unwrap_or(i64::MAX))
            .bind(filter.state.map(JobState::name))
            .bind(limit)
            .bind(filter.text)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(JobRow::try_from).collect()
    }

    /// The job's edits, in order.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.edits", skip(self))]
    pub async fn edits(&self, job_seq: i64) -> Result<Vec<EditRow>, StoreError> {
        edits_of(&self.pool, job_seq, None).await
    }
}

/// The edits of a job that is being written, in its precision.
pub(crate) async fn write_edits(
    conn: &mut PgConnection,
    seq: i64,
    edits: &[NewEdit],
    precision: Precision,
) -> Result<(), StoreError> {
    for (edit_no, edit) in edits.iter().enumerate() {
        let sql = "-- submit: edit
            INSERT INTO job_edits (job_seq, edit_no, slug, method, spec, digest, gate, mapper_key, training_set, mapper,
                                   edit_cost, edit_units, train_cost, train_units)
            VALUES ($1, $2, $3, $4, $5, $6, $7::gate_state, $8, $9, $10, $11, $12, $13, $14)";
        let (cost, training) = (edit.spec.edit_cost(precision), edit.spec.train_cost(precision));
        let too_many = |_| StoreError::Unstorable { what: "job", cause: "it has more than 32767 edits".to_owned() };
        sqlx::query(sql)
            .bind(seq)
            .bind(i16::try_from(edit_no).map_err(too_many)?)
            .bind(&edit.slug)
            .bind(edit.spec.method.name())
            .bind(to_json("edit", &edit.spec)?)
            .bind(edit.digest.as_bytes().as_slice())
            .bind(match (&edit.training, &edit.mapper) {
                (_, Some(_)) => "open",
                (Some(_), None) => "waiting",
                (None, None) => "none",
            })
            .bind(edit.training.as_ref().map(|t| t.mapper_key.0.as_bytes().as_slice()))
            .bind(edit.training.as_ref().map(|t| t.training_set.as_bytes().as_slice()))
            .bind(edit.mapper.as_ref().map(|mapper| mapper.as_bytes().as_slice()))
            .bind(cost.name)
            .bind(cost.units)
            .bind(training.as_ref().map(|cost| cost.name.as_str()))
            .bind(training.as_ref().map(|cost| cost.units))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

pub(crate) async fn job_by_seq(executor: impl PgExecutor<'_>, seq: i64) -> Result<Option<JobRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select_jobs!("WHERE j.seq = $1")).bind(seq).fetch_optional(executor).await?;
    row.map(JobRow::try_from).transpose()
}

pub(crate) async fn edits_of(
    executor: impl PgExecutor<'_>,
    job_seq: i64,
    edit_no: Option<i16>,
) -> Result<Vec<EditRow>, StoreError> {
    let sql = "-- edits
        SELECT edit_no, slug, spec, digest, gate::text, mapper_key, training_set, mapper
        FROM job_edits WHERE job_seq = $1 AND ($2::smallint IS NULL OR edit_no = $2) ORDER BY edit_no";
    let rows: Vec<EditColumns> = sqlx::query_as(sql).bind(job_seq).bind(edit_no).fetch_all(executor).await?;
    rows.into_iter().map(|row| row.into_edit(job_seq)).collect()
}
