//! Dead tasks tried again, in slices: those of a reason first, then the followers that died of them.

use crate::columns::Place;
use crate::error::retrying;
use crate::job_control::{lock_job, set_state};
use crate::{Store, StoreError, TransitionError};
use domain::Reason;
use domain::job_state::{JobEvent, JobState, NotNow};
use sqlx::PgConnection;
use std::collections::BTreeMap;

/// What reviving dead tasks did, or would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retried {
    /// Dead tasks that are, or would be, tried again, followers of revived producers included.
    pub tasks: u64,
    /// The same by the reason they were dead for.
    pub reasons: BTreeMap<Reason, u64>,
    /// The job's state afterwards.
    pub state: JobState,
}

/// Tasks of one slice, each a transaction of its own.
const SLICE: i64 = 10_000;

type Revived = (String, i64, Vec<i32>, Vec<i16>);

impl Store {
    /// Revives the job's dead tasks: all, or those dead for `reason` with the followers that died of them. Attempts and losses
    /// start from zero, epochs go on. A finished job becomes active again. With `dry_run` nothing changes. Many tasks are revived in
    /// several transactions; whoever is interrupted on the way repeats the call.
    ///
    /// # Errors
    /// When there is no such job, it was cancelled or has succeeded, or the database fails.
    #[tracing::instrument(name = "db.retry_dead", skip(self))]
    pub async fn retry_dead(
        &self,
        job_seq: i64,
        reason: Option<Reason>,
        dry_run: bool,
    ) -> Result<Retried, TransitionError> {
        if dry_run {
            return self.retry_dry(job_seq, reason).await;
        }
        let mut all: Option<Retried> = None;
        for followers in [false, true] {
            loop {
                let slice = retrying!(self.retry_slice(job_seq, reason, followers, SLICE).await)?;
                let last = slice.tasks < SLICE.unsigned_abs();
                all = Some(all.map_or_else(|| slice.clone(), |sum| sum.plus(&slice)));
                if last {
                    break;
                }
            }
        }
        all.ok_or(TransitionError::Missing)
    }

    async fn retry_dry(&self, job_seq: i64, reason: Option<Reason>) -> Result<Retried, TransitionError> {
        let mut conn = self.pool.acquire().await?;
        let state = lock_job(&mut conn, job_seq).await?.ok_or(TransitionError::Missing)?;
        let rows: Vec<(String, i64)> = sqlx::query_as(include_str!("../queries/redrive_dry.sql"))
            .bind(job_seq)
            .bind(reason.map(Reason::code))
            .fetch_all(&mut *conn)
            .await?;
        // where nothing is dead, none is the answer, whatever the state
        if !rows.is_empty() {
            revived_state(state)?;
        }
        Ok(counted(job_seq, state, rows)?)
    }

    async fn retry_slice(
        &self,
        job_seq: i64,
        reason: Option<Reason>,
        followers: bool,
        limit: i64,
    ) -> Result<Retried, TransitionError> {
        let mut tx = self.pool.begin().await?;
        let from = lock_job(&mut tx, job_seq).await?.ok_or(TransitionError::Missing)?;
        let state = revived_state(from)?;
        let rows: Vec<Revived> = sqlx::query_as(include_str!("../queries/redrive_slice.sql"))
            .bind(job_seq)
            .bind(reason.map(Reason::code))
            .bind(limit)
            .bind(followers)
            .fetch_all(&mut *tx)
            .await?;
        let nos: Vec<i32> = rows.iter().flat_map(|row| &row.2).copied().collect();
        let edits: Vec<i16> = rows.iter().flat_map(|row| &row.3).copied().collect();
        let counts = rows.into_iter().map(|(reason, n, ..)| (reason, n)).collect();
        if nos.is_empty() {
            tx.rollback().await?;
            return Ok(counted(job_seq, from, counts)?);
        }
        rearm_revived(&mut tx, job_seq, &nos, &edits).await?;
        if state != from {
            set_state(&mut tx, job_seq, state).await?;
        }
        tx.commit().await?;
        Ok(counted(job_seq, state, counts)?)
    }
}

impl Retried {
    fn plus(mut self, slice: &Self) -> Self {
        self.tasks += slice.tasks;
        for (reason, n) in &slice.reasons {
            *self.reasons.entry(*reason).or_default() += n;
        }
        self.state = slice.state;
        self
    }
}

/// The state of a job with revived tasks.
fn revived_state(from: JobState) -> Result<JobState, NotNow> {
    match from {
        JobState::Accepting | JobState::Active | JobState::Paused => Ok(from),
        JobState::Partial | JobState::Failed => from.on(JobEvent::Revive),
        JobState::Succeeded | JobState::Cancelled => Err(NotNow { from }),
    }
}

fn counted(job_seq: i64, state: JobState, rows: Vec<(String, i64)>) -> Result<Retried, StoreError> {
    let at = Place { table: "tasks", row: &job_seq };
    let mut retried = Retried { tasks: 0, reasons: BTreeMap::new(), state };
    for (reason, n) in rows {
        retried.tasks += n.unsigned_abs();
        *retried.reasons.entry(at.parse("reason", &reason)?).or_default() += n.unsigned_abs();
    }
    Ok(retried)
}

/// Sees that everything the revived tasks wait for is there, on its way, or known to the rearming sweep.
pub(crate) async fn rearm_revived(
    conn: &mut PgConnection,
    job_seq: i64,
    nos: &[i32],
    edits: &[i16],
) -> Result<(), StoreError> {
    // a gate that died opens a way again: its mapper is there, under way, or produced anew
    let gates = "-- retry_dead: gates
        UPDATE job_edits SET gate = 'waiting' WHERE job_seq = $1 AND gate = 'dead' AND edit_no = ANY($2)";
    sqlx::query(gates).bind(job_seq).bind(edits).execute(&mut *conn).await?;
    crate::enqueue::open_gates(&mut *conn, job_seq).await?;
    // revived producers produce again, unless another job's task does by now (then both finish, and the first one counts)
    let producers = "-- retry_dead: producers
        INSERT INTO stage_artifacts AS a (key, stage, state, producer_job, producer_no)
        SELECT DISTINCT ON (key) key, stage, 'pending'::artifact_state, job_seq, no FROM tasks
        WHERE job_seq = $1 AND no = ANY($2) AND state = 'ready' AND stage <> 'edit' ORDER BY key, no
        ON CONFLICT (key) DO UPDATE SET state = 'pending', producer_job = excluded.producer_job, producer_no = excluded.producer_no
        WHERE a.state = 'orphaned'";
    sqlx::query(producers).bind(job_seq).bind(nos).execute(&mut *conn).await?;
    // whatever else is waited for and produced by nobody goes to the rearming sweep
    let orphans = "-- retry_dead: orphans
        INSERT INTO stage_artifacts (key, stage, state)
        SELECT needs, 'invert'::task_stage, 'orphaned'::artifact_state FROM tasks
        WHERE job_seq = $1 AND no = ANY($2) AND state = 'blocked'
        UNION
        SELECT mapper_key, 'train', 'orphaned' FROM job_edits WHERE job_seq = $1 AND gate = 'waiting'
        ORDER BY 1
        ON CONFLICT (key) DO NOTHING";
    sqlx::query(orphans).bind(job_seq).bind(nos).execute(&mut *conn).await?;
    // the rows are locked or ours now, so what is done stays seen and what is not will unblock its followers itself
    let lock = "-- retry_dead: lock
        SELECT count(*) FROM (
            SELECT FROM stage_artifacts WHERE state <> 'done' AND key IN (
                SELECT needs FROM tasks WHERE job_seq = $1 AND no = ANY($2) AND state = 'blocked') ORDER BY key FOR SHARE) AS locked";
    sqlx::query(lock).bind(job_seq).bind(nos).execute(&mut *conn).await?;
    let keys = "-- retry_dead: done
        SELECT DISTINCT a.key FROM tasks t JOIN stage_artifacts a ON a.key = t.needs
        WHERE t.job_seq = $1 AND t.no = ANY($2) AND t.state = 'blocked' AND a.state = 'done'";
    let keys: Vec<Vec<u8>> = sqlx::query_scalar(keys).bind(job_seq).bind(nos).fetch_all(&mut *conn).await?;
    crate::outcomes::unblock(conn, &keys).await?;
    Ok(())
}
