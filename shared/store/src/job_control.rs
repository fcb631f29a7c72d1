//! What moves jobs on a user's or operator's word: pause, resume, cancel, retry.

use crate::columns::Place;
use crate::error::retrying;
use crate::outbox::{OutboxKind, insert};
use crate::{OutboxMessage, Store, StoreError, TransitionError};
use domain::Reason;
use domain::job_state::{JobEvent, JobState, NotNow};
use sqlx::PgConnection;

/// What reviving dead tasks did, or would do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retried {
    /// Dead tasks that are, or would be, tried again, followers of revived producers included.
    pub tasks: u64,
    /// The job's state afterwards.
    pub state: JobState,
}

impl Store {
    /// Applies an event to the job. `control` is told to the workers if the event changes the state: a cancel's message. From the
    /// moment a cancel returns no result of the job is committed any more; its tasks follow in slices
    /// ([`Store::cancel_tasks_slice`]).
    ///
    /// # Errors
    /// When there is no such job, its state does not accept the event, or the database fails.
    #[tracing::instrument(name = "db.transition", skip(self, control))]
    pub async fn transition(
        &self,
        job_seq: i64,
        event: JobEvent,
        control: Option<OutboxMessage>,
    ) -> Result<JobState, TransitionError> {
        retrying!(self.try_transition(job_seq, event, control.as_ref()).await)
    }

    async fn try_transition(
        &self,
        job_seq: i64,
        event: JobEvent,
        control: Option<&OutboxMessage>,
    ) -> Result<JobState, TransitionError> {
        let mut tx = self.pool.begin().await?;
        let from = lock_job(&mut tx, job_seq).await?.ok_or(TransitionError::Missing)?;
        let to = from.on(event)?;
        if to != from {
            set_state(&mut tx, job_seq, to).await?;
            if let Some(message) = control {
                insert(&mut tx, OutboxKind::Control, message).await?;
            }
        }
        tx.commit().await?;
        Ok(to)
    }

    /// Revives the job's dead tasks: all, or those dead for `reason` with the followers that died of them. Attempts and losses
    /// start from zero, epochs go on. A finished job becomes active again. With `dry_run` nothing changes.
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
        retrying!(self.try_retry_dead(job_seq, reason, dry_run).await)
    }

    async fn try_retry_dead(
        &self,
        job_seq: i64,
        reason: Option<Reason>,
        dry_run: bool,
    ) -> Result<Retried, TransitionError> {
        let mut tx = self.pool.begin().await?;
        let from = lock_job(&mut tx, job_seq).await?.ok_or(TransitionError::Missing)?;
        let state = match from {
            JobState::Accepting | JobState::Active | JobState::Paused => from,
            JobState::Partial | JobState::Failed => from.on(JobEvent::Revive)?,
            JobState::Succeeded | JobState::Cancelled => return Err(NotNow { from }.into()),
        };
        let (tasks, edits): (i64, Vec<i16>) = sqlx::query_as(include_str!("../queries/retry_dead.sql"))
            .bind(job_seq)
            .bind(reason.map(Reason::code))
            .fetch_one(&mut *tx)
            .await?;
        if dry_run || tasks == 0 {
            // run for real and taken back: the number cannot differ from what a real run would do
            tx.rollback().await?;
            return Ok(Retried { tasks: tasks.cast_unsigned(), state: from });
        }
        rearm_revived(&mut tx, job_seq, &edits).await?;
        if state != from {
            set_state(&mut tx, job_seq, state).await?;
        }
        tx.commit().await?;
        Ok(Retried { tasks: tasks.cast_unsigned(), state })
    }
}

/// The job's state, locked against every other transition, every slice and every outcome.
pub(crate) async fn lock_job(conn: &mut PgConnection, job_seq: i64) -> Result<Option<JobState>, StoreError> {
    let sql = "-- lock_job\nSELECT state::text FROM jobs WHERE seq = $1 FOR UPDATE";
    let state: Option<String> = sqlx::query_scalar(sql).bind(job_seq).fetch_optional(conn).await?;
    state.map(|s| Place { table: "jobs", row: &job_seq }.parse("state", &s)).transpose()
}

/// Writes the state that the state machine gave. The caller holds the row's lock.
pub(crate) async fn set_state(conn: &mut PgConnection, job_seq: i64, state: JobState) -> Result<(), StoreError> {
    let sql = "-- set_state
        UPDATE jobs SET state = $2::job_state, cancel_pending = ($2 = 'cancelled'),
            finished_at = CASE WHEN $3 THEN COALESCE(finished_at, now()) END
        WHERE seq = $1";
    sqlx::query(sql).bind(job_seq).bind(state.name()).bind(state.is_terminal()).execute(conn).await?;
    Ok(())
}

/// Sees that everything the revived tasks wait for is there, on its way, or known to the rearming sweep.
async fn rearm_revived(conn: &mut PgConnection, job_seq: i64, edits: &[i16]) -> Result<(), StoreError> {
    // a gate that died opens a way again: its mapper is there, under way, or produced anew
    let gates = "-- retry_dead: gates
        UPDATE job_edits SET gate = 'waiting' WHERE job_seq = $1 AND gate = 'dead' AND edit_no = ANY($2)";
    sqlx::query(gates).bind(job_seq).bind(edits).execute(&mut *conn).await?;
    crate::enqueue::open_gates(&mut *conn, job_seq).await?;
    // revived producers produce again, unless another job's task does by now (then both finish, and the first one counts)
    let producers = "-- retry_dead: producers
        INSERT INTO stage_artifacts AS a (key, stage, state, producer_job, producer_no)
        SELECT DISTINCT ON (key) key, stage, 'pending'::artifact_state, job_seq, no FROM tasks
        WHERE job_seq = $1 AND state = 'ready' AND stage <> 'edit' ORDER BY key, no
        ON CONFLICT (key) DO UPDATE SET state = 'pending', producer_job = excluded.producer_job, producer_no = excluded.producer_no
        WHERE a.state = 'orphaned'";
    sqlx::query(producers).bind(job_seq).execute(&mut *conn).await?;
    // whatever else is waited for and produced by nobody goes to the rearming sweep
    let orphans = "-- retry_dead: orphans
        INSERT INTO stage_artifacts (key, stage, state)
        SELECT needs, 'invert'::task_stage, 'orphaned'::artifact_state FROM tasks WHERE job_seq = $1 AND state = 'blocked'
        UNION
        SELECT mapper_key, 'train', 'orphaned' FROM job_edits WHERE job_seq = $1 AND gate = 'waiting'
        ORDER BY 1
        ON CONFLICT (key) DO NOTHING";
    sqlx::query(orphans).bind(job_seq).execute(&mut *conn).await?;
    // the rows are locked or ours now, so what is done stays seen and what is not will unblock its followers itself
    let lock = "-- retry_dead: lock
        SELECT count(*) FROM (
            SELECT FROM stage_artifacts WHERE state <> 'done'
                AND key IN (SELECT needs FROM tasks WHERE job_seq = $1 AND state = 'blocked') ORDER BY key FOR SHARE) AS locked";
    sqlx::query(lock).bind(job_seq).execute(&mut *conn).await?;
    let keys = "-- retry_dead: done
        SELECT DISTINCT a.key FROM tasks t JOIN stage_artifacts a ON a.key = t.needs
        WHERE t.job_seq = $1 AND t.state = 'blocked' AND a.state = 'done'";
    let keys: Vec<Vec<u8>> = sqlx::query_scalar(keys).bind(job_seq).fetch_all(&mut *conn).await?;
    crate::outcomes::unblock(conn, &keys).await?;
    Ok(())
}
