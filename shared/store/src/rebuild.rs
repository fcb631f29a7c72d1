//! Rows of a lost database, written again from what the bucket holds: what was registered and asked for with the ids and numbers
//! it had, and every result that tasks of it have. Each operation may be repeated.
//!
//! Tasks are written by [`Store::write_slice`] as they were the first time: their numbers depend only on the job and its dataset.
//! Results come through a table of pointers of their own, because a latent's pointer may serve several jobs, and a join a job beats
//! a look-up a pointer.

use crate::columns::to_json;
use crate::counts::deltas_of_moved;
use crate::error::retrying;
use crate::jobs::write_edits;
use crate::limits::write_limits;
use crate::outcomes::{reasons_text, unblock, verdict_name};
use crate::{NewJob, Project, Source, Store, StoreError};
use chrono::{DateTime, Utc};
use domain::record::{Record, WrittenRecord};
use domain::{DatasetId, Digest, JobId, ProjectId, StageKey};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// Tasks looked at in one transaction.
const SLICE: i32 = 10_000;

/// A result as its pointer in the bucket tells of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Pointer {
    /// Identity of the result.
    pub key: StageKey,
    /// What it is.
    pub result: PointedAt,
}

/// What a pointer points at.
#[derive(Clone, PartialEq, Debug)]
pub enum PointedAt {
    /// A latent or a mapper.
    Artifact(Digest),
    /// An edited image.
    Image {
        /// The PNG with its record inside.
        image: Digest,
        /// The reconstruction's PNG.
        reconstruction: Digest,
        /// Digest of the record's canonical JSON.
        record_digest: Digest,
        /// The record.
        record: Box<WrittenRecord>,
    },
}

/// What a job got back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Edited images with their records.
    pub results: u64,
    /// Latents and mappers.
    pub artifacts: u64,
}

impl Store {
    /// True while workers were heard of lately: a coordinator serves this database.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.is_served", skip(self))]
    pub async fn is_served(&self) -> Result<bool, StoreError> {
        let sql = "-- is_served
            SELECT EXISTS (SELECT FROM workers WHERE state = 'live' AND last_seen > now() - interval '45 seconds')";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    /// Writes a project with the id it had. False if it was there.
    ///
    /// # Errors
    /// When another project has the name, or the database fails.
    #[tracing::instrument(name = "db.restore_project", skip(self))]
    pub async fn restore_project(&self, project: &Project) -> Result<bool, StoreError> {
        let sql = "-- restore_project
            INSERT INTO projects (id, name, weight, quota_ms_per_day, max_batches, tasks_per_minute) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (id) DO NOTHING";
        let insert = sqlx::query(sql)
            .bind(project.id.as_uuid())
            .bind(&project.name)
            .bind(project.weight)
            .bind(project.quota_ms_per_day)
            .bind(project.max_batches)
            .bind(project.tasks_per_minute);
        Ok(insert.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Writes an empty dataset with the id it had. False if it was there.
    ///
    /// # Errors
    /// When another dataset of the project has the name, or the database fails.
    #[tracing::instrument(name = "db.restore_dataset", skip(self))]
    pub async fn restore_dataset(&self, id: DatasetId, project: ProjectId, name: &str) -> Result<bool, StoreError> {
        let sql = "-- restore_dataset
            INSERT INTO datasets (id, project, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
        let insert = sqlx::query(sql).bind(id.as_uuid()).bind(project.as_uuid()).bind(name);
        Ok(insert.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// Writes sources with the ordinals they had, and masks. Those that are there stay as they are. Returns how many are new.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.restore_sources", skip_all, fields(%dataset, n = sources.len()))]
    pub async fn restore_sources(&self, dataset: DatasetId, sources: &[Source]) -> Result<u64, StoreError> {
        let mut tx = self.pool.begin().await?;
        let insert = "-- restore_sources
            INSERT INTO sources (dataset, ordinal, sha256, uri, bytes, labels, landmarks)
            SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::bigint[], $6::jsonb[], $7::jsonb[])
            ON CONFLICT (dataset, ordinal) DO UPDATE SET landmarks = excluded.landmarks
                -- an older segment came first
                WHERE sources.landmarks IS NULL AND excluded.landmarks IS NOT NULL
            -- zero for rows that are new: a system column, because an update is not told from an insert otherwise
            RETURNING xmax::text = '0'";
        let labels = sources.iter().map(|s| to_json("labels", &s.labels)).collect::<Result<Vec<_>, _>>()?;
        let landmarks = sources.iter().map(|s| s.landmarks.as_ref().map(|l| to_json("landmarks", l)).transpose());
        let written: Vec<bool> = sqlx::query_scalar(insert)
            .bind(dataset.as_uuid())
            .bind(sources.iter().map(|s| s.ordinal).collect::<Vec<_>>())
            .bind(sources.iter().map(|s| s.sha256.as_bytes().as_slice()).collect::<Vec<_>>())
            .bind(sources.iter().map(|s| s.uri.as_str()).collect::<Vec<_>>())
            .bind(sources.iter().map(|s| s.bytes).collect::<Vec<_>>())
            .bind(labels)
            .bind(landmarks.collect::<Result<Vec<_>, _>>()?)
            .fetch_all(&mut *tx)
            .await?;
        let masks: Vec<_> = sources.iter().flat_map(|s| s.masks.iter().map(|(n, m)| (s.ordinal, n, m))).collect();
        let insert = "-- restore_sources: masks
            INSERT INTO source_masks (dataset, ordinal, name, sha256)
            SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING";
        sqlx::query(insert)
            .bind(dataset.as_uuid())
            .bind(masks.iter().map(|m| m.0).collect::<Vec<_>>())
            .bind(masks.iter().map(|m| m.1.as_str()).collect::<Vec<_>>())
            .bind(masks.iter().map(|m| m.2.as_bytes().as_slice()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        // counted anew, once a segment of thousands: what is there may be part of it
        let count = "-- restore_sources: count
            UPDATE datasets SET
                sources = (SELECT COALESCE(max(ordinal) + 1, 0) FROM sources WHERE dataset = $1),
                landmarks = (SELECT count(landmarks) FROM sources WHERE dataset = $1),
                masks = COALESCE((
                    SELECT jsonb_object_agg(name, n) FROM (
                        SELECT name, count(*) AS n FROM source_masks WHERE dataset = $1 GROUP BY name) AS by_name), '{}')
            WHERE id = $1";
        sqlx::query(count).bind(dataset.as_uuid()).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(written.into_iter().filter(|new| *new).count() as u64)
    }

    /// Writes a job with the number and id it had, and with no tasks yet. False if it was there.
    ///
    /// # Errors
    /// When another job has its number or its key, or the database fails.
    #[tracing::instrument(name = "db.restore_job", skip_all, fields(seq, %id))]
    pub async fn restore_job(
        &self,
        seq: i64,
        id: JobId,
        job: &NewJob,
        created_at: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let inversion = job.spec.inversion.cost(job.spec.precision);
        let mut tx = self.pool.begin().await?;
        let sql = "-- restore_job
            INSERT INTO jobs (seq, id, project, idempotency_key, spec_digest, spec, dataset, pack_name, pack_digest, pack_manifest,
                              priority, created_at, invert_cost, invert_units, archived)
            OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, true)
            ON CONFLICT (id) DO NOTHING";
        let written = sqlx::query(sql)
            .bind(seq)
            .bind(id.as_uuid())
            .bind(job.project.as_uuid())
            .bind(&job.idempotency_key)
            .bind(job.spec_digest.as_bytes().as_slice())
            .bind(to_json("job specification", &job.spec)?)
            .bind(job.dataset.as_uuid())
            .bind(&job.pack.name)
            .bind(job.pack.digest.as_bytes().as_slice())
            .bind(job.pack.manifest.as_bytes().as_slice())
            .bind(job.spec.priority)
            .bind(created_at)
            .bind(&inversion.name)
            .bind(inversion.units)
            .execute(&mut *tx)
            .await?;
        if written.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("-- restore_job: partition\nSELECT ensure_task_partition($1)").bind(seq).execute(&mut *tx).await?;
        write_limits(&mut tx, seq, &job.spec.limits).await?;
        write_edits(&mut tx, seq, &job.edits, job.spec.precision).await?;
        let sql = "-- restore_job: number
            SELECT setval(pg_get_serial_sequence('jobs', 'seq'), (SELECT max(seq) FROM jobs))";
        sqlx::query(sql).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Lets the epochs of tasks that are written from now on begin at the database's clock, in milliseconds: above every epoch of
    /// the lost database, so that a worker of that time which wakes up speaks of no hand-out of this one (invariant I3).
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.begin_epochs", skip(self))]
    pub async fn begin_epochs(&self) -> Result<(), StoreError> {
        let sql = "-- begin_epochs\nSELECT (extract(epoch FROM now()) * 1000)::bigint";
        let epoch: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        // safe to build: a number; a default takes no parameters
        let sql = format!("-- begin_epochs\nALTER TABLE tasks ALTER COLUMN epoch SET DEFAULT {epoch}");
        sqlx::query(AssertSqlSafe(sql)).execute(&self.pool).await?;
        Ok(())
    }

    /// Makes the table of pointers, empty. It is not logged: after a crash the pointers are read again.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.begin_pointers", skip(self))]
    pub async fn begin_pointers(&self) -> Result<(), StoreError> {
        self.end_pointers().await?;
        let sql = "-- begin_pointers
            CREATE UNLOGGED TABLE rebuild_pointers (
                key digest NOT NULL, job uuid NOT NULL, no integer NOT NULL, artifact digest, image digest, reconstruction digest, record_digest digest, record jsonb,
                metrics jsonb, verdict text, reasons text, gpu_ms double precision, epoch bigint, boot uuid, made_at timestamptz,
                used boolean NOT NULL DEFAULT false, PRIMARY KEY (key, job, no))";
        sqlx::query(sql).execute(&self.pool).await?;
        let sql = "-- begin_pointers: index\nCREATE INDEX rebuild_pointers_task ON rebuild_pointers (job, no)";
        sqlx::query(sql).execute(&self.pool).await?;
        Ok(())
    }

    /// Adds pointers.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.add_pointers", skip_all, fields(n = pointers.len()))]
    pub async fn add_pointers(&self, pointers: &[Pointer]) -> Result<(), StoreError> {
        let sql = "-- add_pointers
            INSERT INTO rebuild_pointers (key, job, no, artifact, image, reconstruction, record_digest, record, metrics, verdict, reasons,
                                          gpu_ms, epoch, boot, made_at)
            SELECT * FROM unnest($1::bytea[], $14::uuid[], $15::integer[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[],
                                 $6::text[]::jsonb[], $7::jsonb[], $8::text[], $9::text[], $10::float8[], $11::bigint[], $12::uuid[],
                                 $13::timestamptz[])
            ON CONFLICT DO NOTHING";
        let column = |pick: fn(&PointedAt) -> Option<Digest>| {
            pointers.iter().map(|p| pick(&p.result).map(|d| d.as_bytes().to_vec())).collect::<Vec<_>>()
        };
        let records: Vec<Option<&WrittenRecord>> = pointers.iter().map(|p| p.result.record()).collect();
        let metrics = |record: &WrittenRecord| to_json("metrics", &record.outcome.metrics);
        let metrics: Vec<_> = records.iter().map(|r| r.map(metrics).transpose()).collect::<Result<_, _>>()?;
        sqlx::query(sql)
            .bind(pointers.iter().map(|p| p.key.0.as_bytes().as_slice()).collect::<Vec<_>>())
            .bind(column(PointedAt::artifact))
            .bind(column(|at| at.image().map(|(image, ..)| image)))
            .bind(column(|at| at.image().map(|(_, reconstruction, _)| reconstruction)))
            .bind(column(|at| at.image().map(|(.., record)| record)))
            .bind(records.iter().map(|r| r.map(WrittenRecord::text)).collect::<Vec<_>>())
            .bind(metrics)
            .bind(records.iter().map(|r| r.and_then(|r| r.outcome.verdict).map(verdict_name)).collect::<Vec<_>>())
            .bind(records.iter().map(|r| r.map(|r| reasons_text(r))).collect::<Vec<_>>())
            .bind(records.iter().map(|r| r.map(|r| tensor_ms(r))).collect::<Vec<_>>())
            .bind(records.iter().map(|r| r.map(|r| r.execution.epoch)).collect::<Vec<_>>())
            .bind(records.iter().map(|r| r.map(|r| r.execution.boot.as_uuid())).collect::<Vec<_>>())
            .bind(records.iter().map(|r| r.map(|r| r.execution.finished_at)).collect::<Vec<_>>())
            // an image is its task's own; what tasks share belongs to none
            .bind(records.iter().map(|r| r.map_or(Uuid::nil(), |r| r.links.job.as_uuid())).collect::<Vec<_>>())
            .bind(records.iter().map(|r| r.map_or(-1, |r| r.links.task.no)).collect::<Vec<_>>())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Tells the planner what all the pointers are like: once they are added, and before any is applied.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.pointers_added", skip(self))]
    pub async fn pointers_added(&self) -> Result<(), StoreError> {
        sqlx::query("-- pointers_added\nANALYZE rebuild_pointers").execute(&self.pool).await?;
        Ok(())
    }

    /// Gives the job's tasks the results that pointers tell of, slice by slice. Only tasks that are not handed out and not ended
    /// change.
    ///
    /// # Errors
    /// When the database fails; the slices before are done.
    #[tracing::instrument(name = "db.apply_pointers", skip(self))]
    pub async fn apply_pointers(&self, job_seq: i64) -> Result<Restored, StoreError> {
        let sql = "-- apply_pointers: end\nSELECT next_no FROM jobs WHERE seq = $1";
        let end: Option<i32> = sqlx::query_scalar(sql).bind(job_seq).fetch_optional(&self.pool).await?;
        let end = end.ok_or_else(|| StoreError::Missing { what: format!("job {job_seq}") })?;
        let mut restored = Restored::default();
        let mut from = 0;
        while from < end {
            let slice = retrying!(self.try_apply_pointers(job_seq, from).await)?;
            restored.results += slice.results;
            restored.artifacts += slice.artifacts;
            from = from.saturating_add(SLICE);
        }
        Ok(restored)
    }

    async fn try_apply_pointers(&self, job_seq: i64, from: i32) -> Result<Restored, StoreError> {
        let sql = concat!(
            "-- apply_pointers
            WITH found AS (
                SELECT t.no, p.key, p.job FROM tasks t JOIN rebuild_pointers p ON p.key = t.key AND p.artifact IS NOT NULL
                WHERE t.job_seq = $1 AND t.no >= $2 AND t.no - $2 < $3 AND t.stage <> 'edit'
                UNION ALL
                -- by its number alone: a mask or landmarks that came after the task was written are in its key now and were not then
                SELECT t.no, p.key, p.job FROM jobs j JOIN tasks t ON t.job_seq = j.seq
                JOIN rebuild_pointers p ON p.job = j.id AND p.no = t.no
                WHERE j.seq = $1 AND t.job_seq = $1 AND t.no >= $2 AND t.no - $2 < $3 AND t.stage = 'edit'),
            held AS (
                SELECT t.job_seq, t.no, t.state AS was, p.key, p.artifact, p.image, p.reconstruction, p.record_digest, p.record,
                       p.metrics, p.verdict, p.reasons, p.gpu_ms, p.epoch, p.boot, p.made_at
                FROM found f JOIN tasks t ON t.job_seq = $1 AND t.no = f.no
                JOIN rebuild_pointers p ON p.key = f.key AND p.job = f.job AND p.no = CASE WHEN p.artifact IS NULL THEN f.no ELSE -1 END
                WHERE t.state::text IN ('blocked', 'ready', 'retry_wait')
                ORDER BY t.no FOR UPDATE OF t),
            moved AS (
                UPDATE tasks t SET state = 'succeeded', key = h.key, next_at = NULL, reason = NULL, detail = NULL, done = 1,
                    updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.no, t.stage, h.was, t.state, t.reason, COALESCE(h.gpu_ms, 0) AS gpu_ms,
                    -- the fair shares begin anew: what the lost database had charged is not known
                    0::float8 AS charge_ms,
                    t.edit_no, t.ordinal, t.strength, t.seed, t.key, h.artifact, h.image, h.reconstruction, h.record_digest,
                    h.record, h.metrics, h.verdict, h.reasons, h.epoch, h.boot, h.made_at),
            ",
            deltas_of_moved!(),
            ",
            images AS (
                INSERT INTO results (job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record, metrics,
                                     verdict, rejected_for, gpu_ms, epoch, boot, created_at)
                SELECT job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record_digest, metrics,
                       verdict, string_to_array(reasons, ','), gpu_ms, epoch, boot, made_at FROM moved WHERE stage = 'edit'),
            told AS (
                INSERT INTO records (digest, job_seq, no, record, created_at)
                SELECT record_digest, job_seq, no, record, made_at FROM moved WHERE stage = 'edit'
                ON CONFLICT (digest) DO NOTHING),
            kept AS (
                INSERT INTO stage_artifacts AS a (key, stage, state, producer_job, producer_no, artifact, done_at)
                SELECT DISTINCT ON (key) key, stage, 'done'::artifact_state, job_seq, no, artifact, now()
                FROM moved WHERE stage <> 'edit' ORDER BY key, no
                ON CONFLICT (key) DO UPDATE SET state = 'done', artifact = excluded.artifact, done_at = now()
                WHERE a.state <> 'done'),
            used AS (
                UPDATE rebuild_pointers p SET used = true FROM moved m
                WHERE p.key = m.key AND (p.artifact IS NOT NULL OR p.no = m.no))
            SELECT key, stage = 'edit' FROM moved"
        );
        let mut tx = self.pool.begin().await?;
        let moved: Vec<(Vec<u8>, bool)> =
            sqlx::query_as(sql).bind(job_seq).bind(from).bind(SLICE).fetch_all(&mut *tx).await?;
        let keys: Vec<Vec<u8>> = moved.iter().filter(|(_, edit)| !edit).map(|(key, _)| key.clone()).collect();
        unblock(&mut tx, &keys).await?;
        crate::enqueue::open_gates(&mut tx, job_seq).await?;
        tx.commit().await?;
        let artifacts = keys.len() as u64;
        Ok(Restored { results: moved.len() as u64 - artifacts, artifacts })
    }

    /// How many pointers no task has asked for.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unused_pointers", skip(self))]
    pub async fn unused_pointers(&self) -> Result<u64, StoreError> {
        let sql = "-- unused_pointers\nSELECT count(*) FROM rebuild_pointers WHERE NOT used";
        let unused: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(unused.cast_unsigned())
    }

    /// Removes the table of pointers.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.end_pointers", skip(self))]
    pub async fn end_pointers(&self) -> Result<(), StoreError> {
        sqlx::query("-- end_pointers\nDROP TABLE IF EXISTS rebuild_pointers").execute(&self.pool).await?;
        Ok(())
    }
}

impl PointedAt {
    const fn artifact(&self) -> Option<Digest> {
        match self {
            Self::Artifact(digest) => Some(*digest),
            Self::Image { .. } => None,
        }
    }

    /// Image, reconstruction and record.
    const fn image(&self) -> Option<(Digest, Digest, Digest)> {
        match self {
            Self::Artifact(_) => None,
            Self::Image { image, reconstruction, record_digest, .. } => Some((*image, *reconstruction, *record_digest)),
        }
    }

    fn record(&self) -> Option<&WrittenRecord> {
        match self {
            Self::Artifact(_) => None,
            Self::Image { record, .. } => Some(record),
        }
    }
}

/// The item's share of tensor time as its record tells it: everything but fetching.
fn tensor_ms(record: &Record) -> f64 {
    let stages = record.execution.milliseconds.iter();
    stages.filter(|(stage, _)| *stage != "fetch").map(|(_, ms)| ms).sum()
}
