//! Writing a job's tasks, slice by slice: each slice is one transaction that also moves the job's cursor, so that writing
//! goes on where it stopped, by whichever coordinator, and a slice is never written twice.

mod copy;
mod producers;

use crate::columns::Place;
use crate::error::retrying;
use crate::jobs::{Row, select_jobs};
use crate::{JobRow, Phase, Store, StoreError};
use copy::Rows;
use domain::StageKey;
use domain::job_state::{JobEvent, JobState};
use producers::{Claimed, Wanted};
use serde_json::Value;
use sqlx::PgConnection;
use std::collections::HashSet;

/// A task to write. Its number is the job's next one plus its place in the slice.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum NewTask {
    /// Source to latent; written only if no other task produces or has produced `key`.
    Invert {
        /// The source.
        ordinal: i64,
        /// Stage key of the latent.
        key: StageKey,
    },
    /// An edit's mapper; written only if no other task produces or has produced `key`.
    Train {
        /// The edit.
        edit_no: i16,
        /// Stage key of the mapper.
        key: StageKey,
    },
    /// A source under an edit.
    Edit {
        /// The edit.
        edit_no: i16,
        /// The source.
        ordinal: i64,
        /// Factor on the edit's change.
        strength: f64,
        /// The job's seed.
        seed: u64,
        /// Stage key of the result.
        key: StageKey,
        /// Stage key of the latent it starts from.
        needs: StageKey,
    },
}

/// What writing a slice did.
#[derive(Clone, PartialEq, Debug)]
pub enum SliceOutcome {
    /// The slice is written and the cursor moved.
    Written {
        /// Tasks that were written.
        tasks: u64,
        /// Producers that were not needed, because another job computed or computes the same key.
        memoised: u64,
    },
    /// The cursor is elsewhere: this slice is written already, or another coordinator is further.
    Moved {
        /// Where it is.
        cursor: Value,
    },
    /// The job takes no more tasks: it is written completely, or cancelled.
    Stopped {
        /// Its state.
        state: JobState,
    },
}

/// Most tasks of one slice.
pub const MAX_SLICE: usize = 50_000;

impl Store {
    /// Jobs whose tasks are still to be written and that no coordinator is writing right now, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.accepting_jobs", skip(self))]
    pub async fn accepting_jobs(&self, limit: i64) -> Result<Vec<JobRow>, StoreError> {
        let sql = select_jobs!(
            "WHERE j.state = 'accepting' OR (j.state = 'paused' AND j.unwritten) ORDER BY j.seq LIMIT $1
             -- skips jobs whose slice is being written; the lock itself ends with this statement
             FOR NO KEY UPDATE OF j SKIP LOCKED"
        );
        let rows: Vec<Row> = sqlx::query_as(sql).bind(limit).fetch_all(&self.pool).await?;
        rows.into_iter().map(JobRow::try_from).collect()
    }

    /// Writes the tasks between `expected` and `next`; `finished` ends the writing and makes the job active, unless it is paused.
    ///
    /// # Errors
    /// When there is no such job, the slice is too large, or the database fails.
    #[tracing::instrument(name = "db.write_slice", skip_all, fields(job_seq, n = tasks.len(), finished))]
    pub async fn write_slice(
        &self,
        job_seq: i64,
        expected: &Value,
        next: &Value,
        tasks: &[NewTask],
        finished: bool,
    ) -> Result<SliceOutcome, StoreError> {
        if tasks.len() > MAX_SLICE {
            let cause = format!("it has {} tasks, the limit is {MAX_SLICE}", tasks.len());
            return Err(StoreError::Unstorable { what: "slice", cause });
        }
        let wanted = Wanted::of(tasks);
        retrying!(self.try_write_slice(job_seq, expected, next, tasks, &wanted, finished).await)
    }

    async fn try_write_slice(
        &self,
        job_seq: i64,
        expected: &Value,
        next: &Value,
        tasks: &[NewTask],
        wanted: &Wanted,
        finished: bool,
    ) -> Result<SliceOutcome, StoreError> {
        let mut tx = self.pool.begin().await?;
        // NO KEY UPDATE: hand-outs and outcomes of the slices before go on meanwhile
        let sql = "-- write_slice: lock\nSELECT state::text, unwritten, cursor, next_no FROM jobs WHERE seq = $1 FOR NO KEY UPDATE";
        let job: Option<(String, bool, Value, i32)> =
            sqlx::query_as(sql).bind(job_seq).fetch_optional(&mut *tx).await?;
        let (state, unwritten, cursor, base) =
            job.ok_or_else(|| StoreError::Missing { what: format!("job {job_seq}") })?;
        let at = Place { table: "jobs", row: &job_seq };
        let state: JobState = at.parse("state", &state)?;
        if state != JobState::Accepting && !unwritten {
            return Ok(SliceOutcome::Stopped { state });
        }
        if cursor != *expected {
            return Ok(SliceOutcome::Moved { cursor });
        }
        let end = i32::try_from(tasks.len()).ok().and_then(|n| base.checked_add(n));
        let end = end.ok_or_else(|| at.corrupt("next_no", "the job has more than 2,147,483,647 tasks"))?;

        let claimed = wanted.claim(&mut tx, job_seq, base).await?;
        // a gate that another job's training shut between our submit and now: ours is to open it again
        let sql = "-- write_slice: gates
            UPDATE job_edits e SET gate = 'waiting' FROM stage_artifacts a
            WHERE e.job_seq = $1 AND e.gate = 'dead' AND a.key = e.mapper_key
                AND a.state = 'pending' AND a.producer_job = $1 AND a.producer_no >= $2";
        sqlx::query(sql).bind(job_seq).bind(base).execute(&mut *tx).await?;
        let written = write_tasks(&mut tx, (job_seq, base), tasks, wanted, &claimed).await?;
        if finished {
            // a gate whose training no slice wrote: the rearming sweep sees to it
            let sql = "-- write_slice: untrained
                INSERT INTO stage_artifacts (key, stage, state)
                SELECT DISTINCT mapper_key, 'train'::task_stage, 'orphaned'::artifact_state FROM job_edits
                WHERE job_seq = $1 AND gate = 'waiting' ORDER BY mapper_key
                ON CONFLICT (key) DO NOTHING";
            sqlx::query(sql).bind(job_seq).execute(&mut *tx).await?;
        }
        open_gates(&mut tx, job_seq).await?;
        let sql = "-- write_slice: cursor
            UPDATE jobs SET cursor = $2, next_no = $3, memoised = memoised + $4, state = $5::job_state, unwritten = $8,
                saved_ms = saved_ms + $6, saved_unknown = saved_unknown + $7 WHERE seq = $1";
        // safe to keep on a refusal, which there is none of: accepting and paused accept `enqueued`, see domain::job_state
        let state = if finished { state.on(JobEvent::Enqueued).unwrap_or(state) } else { state };
        sqlx::query(sql)
            .bind(job_seq)
            .bind(next)
            .bind(end)
            .bind(claimed.memoised)
            .bind(state.name())
            .bind(claimed.saved_ms)
            .bind(claimed.saved_unknown)
            .bind(unwritten && !finished)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(SliceOutcome::Written { tasks: written, memoised: claimed.memoised.cast_unsigned() })
    }
}

/// Writes the producers that are the job's and all edits, which begin ready if their latent is there. Returns how many.
async fn write_tasks(
    conn: &mut PgConnection,
    (job_seq, base): (i64, i32),
    tasks: &[NewTask],
    wanted: &Wanted,
    claimed: &Claimed,
) -> Result<u64, StoreError> {
    let mut is_ours = vec![false; tasks.len()];
    let mut ours = HashSet::new();
    for (key, place) in wanted.ours(claimed) {
        is_ours[place] = true;
        ours.insert(key);
    }
    // what this very slice produces is not visible to anybody else yet, and not there
    let of_others = |task: &NewTask| match task {
        NewTask::Edit { needs, .. } if !ours.contains(needs) => Some(*needs),
        _ => None,
    };
    let mut needed: Vec<StageKey> = tasks.iter().filter_map(of_others).collect();
    needed.sort_unstable();
    needed.dedup();
    let done = hold_needed(conn, job_seq, base, &needed).await?;
    let mut rows = Rows::with_room_for(tasks.len());
    for ((no, task), ours) in (base..).zip(tasks).zip(is_ours) {
        match task {
            NewTask::Edit { needs, .. } if !done.contains(needs) => rows.push(job_seq, no, task, Phase::Blocked),
            NewTask::Invert { .. } | NewTask::Train { .. } if !ours => {}
            _ => rows.push(job_seq, no, task, Phase::Ready),
        }
    }
    rows.write(conn, job_seq).await
}

/// Makes what the slice's edits wait for stand still until the commit: unfinished keys are locked against finishing, unknown
/// ones are written as orphans for the rearming sweep. So every follower either sees a finished latent or is seen by its finish.
/// Returns those of `needed` (in order, each once, and not produced by this slice) that are there.
async fn hold_needed(
    conn: &mut PgConnection,
    job_seq: i64,
    base: i32,
    needed: &[StageKey],
) -> Result<HashSet<StageKey>, StoreError> {
    let keys: Vec<&[u8]> = needed.iter().map(|key| key.0.as_bytes().as_slice()).collect();
    let orphans = "-- write_slice: orphans
        INSERT INTO stage_artifacts (key, stage, state)
        SELECT n.key, 'invert', 'orphaned' FROM unnest($1::bytea[]) AS n (key)
        WHERE NOT EXISTS (SELECT FROM stage_artifacts a WHERE a.key = n.key)
        ORDER BY n.key
        ON CONFLICT (key) DO NOTHING";
    let lock = "-- write_slice: lock needed
        SELECT count(*) FROM (
            SELECT FROM stage_artifacts a
            -- an array, so that it is looked up key by key whatever the planner thinks of their number
            WHERE a.key = ANY (ARRAY(
                    SELECT unnest($3::bytea[])
                    UNION SELECT mapper_key FROM job_edits WHERE job_seq = $1 AND gate = 'waiting')::bytea[])
                AND a.state <> 'done'
                -- those this very slice produces are not visible to anybody else yet
                AND NOT (a.producer_job IS NOT DISTINCT FROM $1 AND a.producer_no >= $2)
            ORDER BY a.key FOR SHARE) AS locked";
    // An orphan that nobody waits for is deleted by the sweep; if that happens while we wait for its lock, the insert, which
    // comes second here for those that were there at first, writes it again. Once locked or inserted it is ours to rely on.
    sqlx::query(lock).bind(job_seq).bind(base).bind(&keys).execute(&mut *conn).await?;
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    sqlx::query(orphans).bind(&keys).execute(&mut *conn).await?;
    sqlx::query(lock).bind(job_seq).bind(base).bind(&keys).execute(&mut *conn).await?;
    let done = "-- write_slice: done
        SELECT key FROM stage_artifacts WHERE key = ANY ($1::bytea[]) AND state = 'done'";
    let done: Vec<Vec<u8>> = sqlx::query_scalar(done).bind(&keys).fetch_all(conn).await?;
    let at = Place { table: "stage_artifacts", row: &job_seq };
    done.iter().map(|key| at.key("key", key)).collect()
}

/// Opens the job's gates whose mapper is there already. The caller holds the keys' locks, or the gates are seen by the finish.
pub(crate) async fn open_gates(conn: &mut PgConnection, job_seq: i64) -> Result<(), StoreError> {
    let sql = "-- open_gates
        UPDATE job_edits e SET gate = 'open', mapper = a.artifact FROM stage_artifacts a
        WHERE e.job_seq = $1 AND e.gate = 'waiting' AND a.key = e.mapper_key AND a.state = 'done'";
    sqlx::query(sql).bind(job_seq).execute(conn).await?;
    Ok(())
}
