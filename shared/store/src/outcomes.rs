//! What workers say about tasks, applied under the fence: the (task, epoch) must be the current hand-out, the task must be
//! dispatched, or running on the very process that speaks, and its job not cancelled. All else changes nothing and is named back as stale.
//!
//! The state is compared as text: tasks are to be found by their key. The indexes on open tasks have the job first as well, and with
//! statistics from before a large job the planner took one of them to be small and read all of it, 2 s for 16 outcomes.
//!
//! A finish may come before its start, twice, or from a zombie; an outcome is applied at most once, with everything that follows
//! from it (result, record, shared artifact, followers, gates, counts) in one transaction.

use crate::columns::to_json;
use crate::counts::deltas_of_moved;
use crate::error::retrying;
use crate::tasks::FenceColumns;
use crate::{Fence, Store, StoreError};
use domain::record::{Record, Verdict, WrittenRecord};
use domain::{BootId, Digest, FailureClass, Reason, RetryPolicy, StageKey, TaskId};
use sqlx::PgConnection;
use std::collections::BTreeSet;

/// How one task of a batch ended.
#[derive(Clone, PartialEq, Debug)]
pub enum OutcomeRow {
    /// An inversion or training is in the bucket.
    Stored {
        /// The task.
        fence: Fence,
        /// Identity of the result, which must be the task's.
        key: StageKey,
        /// The artifact.
        artifact: Digest,
        /// Its share of GPU time.
        gpu_ms: f64,
    },
    /// An edited image is in the bucket with its record.
    Edited(Box<EditedRow>),
    /// Stopped at a checkpoint; no attempt is burnt.
    Yielded {
        /// The task.
        fence: Fence,
        /// From where it goes on; none if nothing was begun.
        checkpoint: Option<Digest>,
        /// Part done, 0 to 1.
        done: f32,
        /// Its share of GPU time.
        gpu_ms: f64,
    },
    /// Failed.
    Failed {
        /// The task.
        fence: Fence,
        /// Why.
        reason: Reason,
        /// One sentence for people.
        detail: String,
        /// Its share of GPU time.
        gpu_ms: f64,
    },
}

impl OutcomeRow {
    /// The hand-out it speaks of.
    pub fn fence(&self) -> Fence {
        match self {
            Self::Stored { fence, .. } | Self::Yielded { fence, .. } | Self::Failed { fence, .. } => *fence,
            Self::Edited(row) => row.fence,
        }
    }
}

/// An edited image.
#[derive(Clone, PartialEq, Debug)]
pub struct EditedRow {
    /// The task.
    pub fence: Fence,
    /// Identity of the result, which must be the task's.
    pub key: StageKey,
    /// The PNG with its record inside.
    pub image: Digest,
    /// The reconstruction's PNG.
    pub reconstruction: Digest,
    /// Digest of the record's canonical JSON.
    pub record_digest: Digest,
    /// The record, which also holds metrics and verdict; its text is what is kept.
    pub record: WrittenRecord,
    /// Its share of GPU time.
    pub gpu_ms: f64,
}

/// What applying outcomes did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Tasks that changed.
    pub changed: Vec<TaskId>,
    /// Hand-outs that were not current: nothing changed, the worker may be told.
    pub stale: Vec<Fence>,
    /// Tasks that became ready because what they waited for is there.
    pub unblocked: u64,
    /// Tasks that died with their producer.
    pub died: u64,
}

/// A failure to apply: a worker's, or a sweeper's verdict on a task nobody holds any more.
pub(crate) struct Failure {
    pub fence: Fence,
    pub reason: Reason,
    pub detail: String,
    pub gpu_ms: Option<f64>,
}

impl Store {
    /// Marks tasks as running on `boot`. Returns those that are not this worker's to run: it must drop them.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.started", skip_all, fields(%boot, n = fences.len()))]
    pub async fn started(&self, boot: BootId, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
        retrying!(self.try_started(boot, fences).await)
    }

    async fn try_started(&self, boot: BootId, fences: &[Fence]) -> Result<Vec<Fence>, StoreError> {
        let sql = concat!(
            "-- started
            WITH f AS (SELECT DISTINCT * FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS f(job_seq, no, epoch)),
            live AS (
                SELECT seq FROM jobs WHERE seq IN (SELECT job_seq FROM f) AND state <> 'cancelled' ORDER BY seq FOR KEY SHARE),
            held AS (
                SELECT t.job_seq, t.no FROM f JOIN live ON live.seq = f.job_seq
                JOIN tasks t ON t.job_seq = f.job_seq AND t.no = f.no
                WHERE t.epoch = f.epoch AND t.state::text = 'dispatched' ORDER BY t.job_seq, t.no FOR UPDATE OF t),
            moved AS (
                UPDATE tasks t SET state = 'running', boot = $4, held_since = now(), updated_at = now()
                FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
                RETURNING t.job_seq, t.no, t.stage, 'dispatched'::task_state AS was, t.state, t.reason,
                          0::float8 AS gpu_ms, 0::float8 AS charge_ms),
            ",
            deltas_of_moved!(),
            "
            SELECT f.job_seq, f.no, f.epoch FROM f
            LEFT JOIN moved m ON m.job_seq = f.job_seq AND m.no = f.no
            LEFT JOIN tasks t ON t.job_seq = f.job_seq AND t.no = f.no
            LEFT JOIN live ON live.seq = f.job_seq
            WHERE m.no IS NULL
                -- said twice is not stale
                AND NOT (live.seq IS NOT NULL AND t.state = 'running' AND t.epoch = f.epoch AND t.boot = $4)
            ORDER BY 1, 2"
        );
        let columns = FenceColumns::of(fences.iter());
        let rows: Vec<(i64, i32, i64)> = sqlx::query_as(sql)
            .bind(columns.jobs)
            .bind(columns.nos)
            .bind(columns.epochs)
            .bind(boot.as_uuid())
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(job, no, epoch)| Fence::new(job, no, epoch)).collect())
    }

    /// Applies the outcomes of one message.
    ///
    /// # Errors
    /// When the database fails; then nothing is applied.
    #[tracing::instrument(name = "db.apply_outcomes", skip_all, fields(%boot, n = rows.len()))]
    pub async fn apply_outcomes(
        &self,
        boot: BootId,
        rows: &[OutcomeRow],
        policy: &RetryPolicy,
    ) -> Result<Applied, StoreError> {
        retrying!(self.try_apply_outcomes(boot, rows, policy).await)
    }

    async fn try_apply_outcomes(
        &self,
        boot: BootId,
        rows: &[OutcomeRow],
        policy: &RetryPolicy,
    ) -> Result<Applied, StoreError> {
        let mut stored = Vec::new();
        let mut edited = Vec::new();
        let mut yielded = Vec::new();
        let mut failed = Vec::new();
        for row in rows {
            match row {
                OutcomeRow::Stored { fence, key, artifact, gpu_ms } => stored.push((*fence, *key, *artifact, *gpu_ms)),
                OutcomeRow::Edited(row) => edited.push(row.as_ref()),
                OutcomeRow::Yielded { fence, checkpoint, done, gpu_ms } => {
                    yielded.push((*fence, *checkpoint, *done, *gpu_ms))
                }
                OutcomeRow::Failed { fence, reason, detail, gpu_ms } => failed.push(Failure {
                    fence: *fence,
                    reason: *reason,
                    detail: detail.clone(),
                    gpu_ms: Some(*gpu_ms),
                }),
            }
        }
        let mut tx = self.pool.begin().await?;
        let mut applied = Applied::default();
        finish_stored(&mut tx, boot, &stored, &mut applied).await?;
        finish_edited(&mut tx, boot, &edited, &mut applied).await?;
        yield_back(&mut tx, boot, &yielded, &mut applied).await?;
        fail(&mut tx, Some(boot), &failed, policy, &mut applied).await?;
        tx.commit().await?;
        let changed: BTreeSet<TaskId> = applied.changed.iter().copied().collect();
        applied.stale = rows.iter().map(OutcomeRow::fence).filter(|f| !changed.contains(&f.task)).collect();
        Ok(applied)
    }
}

/// The common table expressions that begin every fenced change: `f` holds the fences and what comes with them, `held` those that
/// are current, locked in order.
macro_rules! held_under_fence {
    ($condition:literal) => {
        concat!(
            "live AS (
                -- KEY SHARE: a cancel waits for us, or we see it (I8)
                SELECT seq FROM jobs WHERE seq IN (SELECT job_seq FROM f) AND state <> 'cancelled' ORDER BY seq FOR KEY SHARE),
            held AS (
                SELECT f.*, t.state AS was, t.stage AS its_stage, t.charged, t.batch AS held_batch, t.boot AS held_by, t.held_since,
                       t.attempts, t.losses
                FROM f JOIN live ON live.seq = f.job_seq JOIN tasks t ON t.job_seq = f.job_seq AND t.no = f.no
                WHERE t.epoch = f.epoch AND t.state::text IN ('dispatched', 'running') AND ",
            $condition,
            " ORDER BY t.job_seq, t.no FOR UPDATE OF t),"
        )
    };
}

/// SQL of the common table expression that tells what a change of `moved` cost: for `crate::estimates`. An outcome that was found
/// from an earlier hand-out took no time and teaches nothing.
macro_rules! samples_of_moved {
    ($n:literal) => {
        concat!(
            "
        samples AS (
            INSERT INTO cost_samples (job_seq, stage, edit_no, class, n, gpu_ms)
            SELECT m.job_seq, m.stage, m.edit_no, b.class, ",
            $n,
            ", sum(m.gpu_ms) FROM moved m JOIN batches b ON b.id = m.held_batch
            WHERE m.gpu_ms > 0 GROUP BY m.job_seq, m.stage, m.edit_no, b.class)"
        )
    };
}

type Stored = (Fence, StageKey, Digest, f64);

async fn finish_stored(
    conn: &mut PgConnection,
    boot: BootId,
    rows: &[Stored],
    applied: &mut Applied,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let finish = concat!(
        "-- finish_stored
        WITH f AS (
            SELECT DISTINCT ON (job_seq, no) *
            FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[], $6::float8[])
                AS f(job_seq, no, epoch, key, artifact, gpu_ms) ORDER BY job_seq, no, epoch DESC),
        ",
        held_under_fence!("t.key = f.key AND t.stage <> 'edit' AND (t.boot IS NULL OR t.boot = $7)"),
        "
        moved AS (
            UPDATE tasks t SET state = 'succeeded', batch = NULL, boot = NULL, held_since = NULL, charged = NULL, done = 1,
                updated_at = now()
            FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
            RETURNING t.job_seq, t.no, t.stage, h.was, t.state, t.reason, h.gpu_ms, h.gpu_ms - h.charged AS charge_ms,
                      h.key, h.artifact, t.edit_no, h.held_batch),
        ",
        deltas_of_moved!(),
        ",",
        samples_of_moved!("count(*)"),
        ",
        kept AS (
            INSERT INTO stage_artifacts AS a (key, stage, state, producer_job, producer_no, artifact, gpu_ms, done_at)
            SELECT DISTINCT ON (key) key, stage, 'done'::artifact_state, job_seq, no, artifact, gpu_ms, now()
            FROM moved ORDER BY key, job_seq, no
            -- the first artifact stands: what was made from it keeps its source
            ON CONFLICT (key) DO UPDATE SET state = 'done', artifact = excluded.artifact, gpu_ms = excluded.gpu_ms,
                done_at = now(), producer_job = excluded.producer_job, producer_no = excluded.producer_no
            WHERE a.state <> 'done')
        SELECT job_seq, no, key FROM moved"
    );
    let fences = FenceColumns::of(rows.iter().map(|r| &r.0));
    let moved: Vec<(i64, i32, Vec<u8>)> = sqlx::query_as(finish)
        .bind(fences.jobs)
        .bind(fences.nos)
        .bind(fences.epochs)
        .bind(rows.iter().map(|r| r.1.0.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.2.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.3).collect::<Vec<_>>())
        .bind(boot.as_uuid())
        .fetch_all(&mut *conn)
        .await?;
    if moved.is_empty() {
        return Ok(());
    }
    let keys: Vec<Vec<u8>> = moved.iter().map(|(_, _, key)| key.clone()).collect();
    applied.changed.extend(moved.into_iter().map(|(job, no, _)| TaskId { job, no }));
    // a statement of its own: it must see followers that were written while we waited for the keys' locks
    applied.unblocked += unblock(conn, &keys).await?;
    let gates = "-- finish_stored: gates
        UPDATE job_edits e SET gate = 'open', mapper = a.artifact FROM stage_artifacts a
        WHERE e.gate = 'waiting' AND e.mapper_key = ANY($1) AND a.key = e.mapper_key AND a.state = 'done'";
    sqlx::query(gates).bind(&keys).execute(conn).await?;
    Ok(())
}

/// Makes every task ready that waits for one of `keys`, in whichever job.
pub(crate) async fn unblock(conn: &mut PgConnection, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
    let sql = concat!(
        "-- unblock
        WITH held AS (
            SELECT job_seq, no FROM tasks WHERE state = 'blocked' AND needs = ANY($1::bytea[]) ORDER BY job_seq, no FOR UPDATE),
        moved AS (
            UPDATE tasks t SET state = 'ready', updated_at = now() FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
            RETURNING t.job_seq, t.stage, 'blocked'::task_state AS was, t.state, t.reason, 0::float8 AS gpu_ms, 0::float8 AS charge_ms),
        ",
        deltas_of_moved!(),
        "
        SELECT count(*) FROM moved"
    );
    let moved: i64 = sqlx::query_scalar(sql).bind(keys).fetch_one(conn).await?;
    Ok(moved.cast_unsigned())
}

async fn finish_edited(
    conn: &mut PgConnection,
    boot: BootId,
    rows: &[&EditedRow],
    applied: &mut Applied,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = concat!(
        "-- finish_edited
        WITH f AS (
            SELECT DISTINCT ON (job_seq, no) *
            FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[], $5::float8[], $6::bytea[], $7::bytea[],
                        $8::bytea[], $9::jsonb[], $10::text[], $11::text[], $13::text[])
                AS f(job_seq, no, epoch, key, gpu_ms, image, reconstruction, record_digest, metrics, verdict, record, reasons)
            ORDER BY job_seq, no, epoch DESC),
        ",
        held_under_fence!("t.key = f.key AND t.stage = 'edit' AND (t.boot IS NULL OR t.boot = $12)"),
        "
        moved AS (
            UPDATE tasks t SET state = 'succeeded', batch = NULL, boot = NULL, held_since = NULL, charged = NULL, done = 1,
                updated_at = now()
            FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
            RETURNING t.job_seq, t.no, t.stage, h.was, t.state, t.reason, h.gpu_ms, h.gpu_ms - h.charged AS charge_ms,
                t.edit_no, t.ordinal, t.strength, t.seed, t.key, t.epoch,
                h.image, h.reconstruction, h.record_digest, h.metrics, h.verdict, h.record, h.reasons, h.held_batch),
        ",
        deltas_of_moved!(),
        ",",
        samples_of_moved!("count(*)"),
        ",
        kept AS (
            INSERT INTO results (job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record, metrics,
                                 verdict, rejected_for, gpu_ms, epoch, boot)
            SELECT job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record_digest, metrics,
                   -- one text an item, since the inner arrays of an array must have one length; a trigger counts the verdicts
                   verdict, string_to_array(reasons, ','), gpu_ms, epoch, $12 FROM moved),
        told AS (
            INSERT INTO records (digest, job_seq, no, record) SELECT record_digest, job_seq, no, record::jsonb FROM moved
            ON CONFLICT (digest) DO NOTHING)
        SELECT job_seq, no FROM moved"
    );
    let fences = FenceColumns::of(rows.iter().map(|r| &r.fence));
    let bytes =
        |pick: fn(&EditedRow) -> &Digest| rows.iter().map(|r| pick(r).as_bytes().as_slice()).collect::<Vec<_>>();
    let metrics = |row: &&EditedRow| to_json("metrics", &row.record.outcome.metrics);
    let moved: Vec<(i64, i32)> = sqlx::query_as(sql)
        .bind(fences.jobs)
        .bind(fences.nos)
        .bind(fences.epochs)
        .bind(bytes(|r| &r.key.0))
        .bind(rows.iter().map(|r| r.gpu_ms).collect::<Vec<_>>())
        .bind(bytes(|r| &r.image))
        .bind(bytes(|r| &r.reconstruction))
        .bind(bytes(|r| &r.record_digest))
        .bind(rows.iter().map(metrics).collect::<Result<Vec<_>, _>>()?)
        .bind(rows.iter().map(|r| r.record.outcome.verdict.map(verdict_name)).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.record.text()).collect::<Vec<_>>())
        .bind(boot.as_uuid())
        .bind(rows.iter().map(|r| reasons_text(&r.record)).collect::<Vec<_>>())
        .fetch_all(conn)
        .await?;
    applied.changed.extend(moved.into_iter().map(|(job, no)| TaskId { job, no }));
    Ok(())
}

/// The reasons of a rejection, joined by commas; none has one in its name.
pub(crate) fn reasons_text(record: &Record) -> String {
    let reasons = &record.outcome.rejected_for;
    reasons.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(",")
}

pub(crate) const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Reject => "reject",
    }
}

type Yielded = (Fence, Option<Digest>, f32, f64);

async fn yield_back(
    conn: &mut PgConnection,
    boot: BootId,
    rows: &[Yielded],
    applied: &mut Applied,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = concat!(
        "-- yield_back
        WITH f AS (
            SELECT DISTINCT ON (job_seq, no) *
            FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bytea[], $5::real[], $6::float8[])
                AS f(job_seq, no, epoch, checkpoint, done, gpu_ms) ORDER BY job_seq, no, epoch DESC),
        ",
        held_under_fence!("(t.boot IS NULL OR t.boot = $7)"),
        "
        moved AS (
            UPDATE tasks t SET state = 'ready', batch = NULL, boot = NULL, held_since = NULL, charged = NULL, updated_at = now(),
                checkpoint = COALESCE(h.checkpoint, t.checkpoint),
                done = CASE WHEN h.checkpoint IS NULL THEN t.done ELSE h.done END
            FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
            RETURNING t.job_seq, t.no, t.stage, h.was, t.state, t.reason, h.gpu_ms, h.gpu_ms - h.charged AS charge_ms,
                      t.epoch, h.held_since, t.edit_no, h.held_batch),
        ",
        deltas_of_moved!(),
        ",",
        // a slice of a task that goes on: its time belongs to the task, which is counted when it ends
        samples_of_moved!("0"),
        ",
        kept AS (
            INSERT INTO attempts (job_seq, no, epoch, boot, started_at, outcome)
            SELECT job_seq, no, epoch, $7, held_since, 'yielded' FROM moved ON CONFLICT DO NOTHING)
        SELECT job_seq, no FROM moved"
    );
    let fences = FenceColumns::of(rows.iter().map(|r| &r.0));
    let moved: Vec<(i64, i32)> = sqlx::query_as(sql)
        .bind(fences.jobs)
        .bind(fences.nos)
        .bind(fences.epochs)
        .bind(rows.iter().map(|r| r.1.map(|d| d.as_bytes().to_vec())).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.2).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.3).collect::<Vec<_>>())
        .bind(boot.as_uuid())
        .fetch_all(conn)
        .await?;
    applied.changed.extend(moved.into_iter().map(|(job, no)| TaskId { job, no }));
    Ok(())
}

/// Applies failures by the retry policy (as `domain::task_state::Task::on` does), and lets die what a dead producer's key or gate
/// was waited for by. `boot` is the worker that says so, or none for a sweeper that found the task lost.
pub(crate) async fn fail(
    conn: &mut PgConnection,
    boot: Option<BootId>,
    rows: &[Failure],
    policy: &RetryPolicy,
    applied: &mut Applied,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let fences = FenceColumns::of(rows.iter().map(|r| &r.fence));
    let moved: Vec<(i64, i32, Option<Vec<u8>>)> = sqlx::query_as(FAIL)
        .bind(fences.jobs)
        .bind(fences.nos)
        .bind(fences.epochs)
        .bind(rows.iter().map(|r| r.reason.code()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| class_name(r.reason.class())).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.detail.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.gpu_ms).collect::<Vec<_>>())
        .bind(policy.max_attempts)
        .bind(policy.max_losses)
        .bind(policy.base.as_secs_f64())
        .bind(policy.cap.as_secs_f64())
        .bind(boot.map(|b| b.as_uuid()))
        .fetch_all(&mut *conn)
        .await?;
    let dead_keys: Vec<Vec<u8>> = moved.iter().filter_map(|(_, _, key)| key.clone()).collect();
    applied.changed.extend(moved.into_iter().map(|(job, no, _)| TaskId { job, no }));
    if !dead_keys.is_empty() {
        applied.died += kill_followers(conn, &dead_keys).await?;
    }
    Ok(())
}

const fn class_name(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Retryable => "retryable",
        FailureClass::Data => "data",
        FailureClass::Bug => "bug",
    }
}

const FAIL: &str = concat!(
    "-- fail
    -- $8 most attempts, $9 most losses, $10 first back-off ceiling and $11 the largest, in seconds, $12 worker
    WITH f AS (
        SELECT DISTINCT ON (job_seq, no) *
        FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::float8[])
            AS f(job_seq, no, epoch, new_reason, class, detail, gpu_ms) ORDER BY job_seq, no, epoch DESC),
    ",
    held_under_fence!("($12::uuid IS NULL OR t.boot IS NULL OR t.boot = $12)"),
    "
    tried AS (
        SELECT h.*, h.attempts + (class = 'bug')::int AS tries, h.losses + (class = 'retryable')::int AS lost FROM held h),
    judged AS (
        SELECT *, (class = 'data' OR tries >= $8 OR lost >= $9) AS dies,
            CASE class WHEN 'bug' THEN tries ELSE lost END AS failures FROM tried),
    moved AS (
        UPDATE tasks t SET
            state = CASE WHEN j.dies THEN 'dead' ELSE 'retry_wait' END::task_state,
            attempts = j.tries, losses = j.lost, reason = j.new_reason, detail = j.detail,
            -- full jitter: domain::failure::RetryPolicy::backoff, with the database's clock and random number
            next_at = CASE WHEN NOT j.dies
                THEN now() + make_interval(secs => random() * LEAST($11::float8, $10::float8 * 2 ^ LEAST(j.failures - 1, 20))) END,
            batch = NULL, boot = NULL, held_since = NULL, charged = NULL, updated_at = now()
        FROM judged j WHERE t.job_seq = j.job_seq AND t.no = j.no
        RETURNING t.job_seq, t.no, t.stage, j.was, t.state, t.reason, COALESCE(j.gpu_ms, 0) AS gpu_ms,
            -- what a lost worker did is not known: its estimate stays charged, but for what exceeds the time it was held
            COALESCE(j.gpu_ms - j.charged, LEAST(0, extract(epoch FROM now() - j.held_since) * 1000 - j.charged))::float8 AS charge_ms,
            t.key, t.epoch, COALESCE(j.held_by, $12) AS boot, j.held_since, t.detail),
    ",
    deltas_of_moved!(),
    ",
    kept AS (
        INSERT INTO attempts (job_seq, no, epoch, boot, started_at, outcome, reason, detail)
        SELECT job_seq, no, epoch, boot, held_since, CASE WHEN $12::uuid IS NULL THEN 'lost' ELSE 'failed' END, reason, detail
        FROM moved ON CONFLICT DO NOTHING),
    orphaned AS (
        UPDATE stage_artifacts a SET state = 'orphaned'
        FROM moved m WHERE m.state = 'dead' AND m.stage <> 'edit' AND a.key = m.key
            AND a.state = 'pending' AND a.producer_job = m.job_seq AND a.producer_no = m.no
        RETURNING a.key)
    -- the key, where its followers die: only if this task was its producer
    SELECT m.job_seq, m.no, o.key FROM moved m LEFT JOIN orphaned o ON m.stage <> 'edit' AND o.key = m.key"
);

/// Lets die what waits for a latent that will not come, and shuts the gates of mappers that will not come; the edits behind a
/// shut gate can be millions and follow in slices ([`Store::dead_gates`]).
async fn kill_followers(conn: &mut PgConnection, keys: &[Vec<u8>]) -> Result<u64, StoreError> {
    let sql = concat!(
        "-- kill_followers
        WITH held AS (
            SELECT job_seq, no FROM tasks WHERE state = 'blocked' AND needs = ANY($1::bytea[]) ORDER BY job_seq, no FOR UPDATE),
        moved AS (
            UPDATE tasks t SET state = 'dead', reason = 'producer_dead', updated_at = now()
            FROM held h WHERE t.job_seq = h.job_seq AND t.no = h.no
            RETURNING t.job_seq, t.stage, 'blocked'::task_state AS was, t.state, t.reason, 0::float8 AS gpu_ms, 0::float8 AS charge_ms),
        ",
        deltas_of_moved!(),
        "
        SELECT count(*) FROM moved"
    );
    let died: i64 = sqlx::query_scalar(sql).bind(keys).fetch_one(&mut *conn).await?;
    let gates = "-- kill_followers: gates
        UPDATE job_edits SET gate = 'dead' WHERE gate = 'waiting' AND mapper_key = ANY($1)";
    sqlx::query(gates).bind(keys).execute(conn).await?;
    Ok(died.cast_unsigned())
}
