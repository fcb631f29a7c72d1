//! What moves jobs on a user's or operator's word: pause, resume, cancel. Dead tasks are tried again in `redrive`, single tasks
//! cancelled in `task_control`.

use crate::columns::Place;
use crate::error::retrying;
use crate::outbox::{OutboxKind, insert};
use crate::{OutboxMessage, Store, StoreError, TransitionError};
use domain::job_state::{JobEvent, JobState};
use sqlx::PgConnection;

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
        let event = match event {
            JobEvent::Resume if is_unwritten(&mut tx, job_seq).await? => JobEvent::ResumeUnwritten,
            event => event,
        };
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
}

/// The job's state, locked against every other transition, every slice and every outcome.
pub(crate) async fn lock_job(conn: &mut PgConnection, job_seq: i64) -> Result<Option<JobState>, StoreError> {
    let sql = "-- lock_job\nSELECT state::text FROM jobs WHERE seq = $1 FOR UPDATE";
    let state: Option<String> = sqlx::query_scalar(sql).bind(job_seq).fetch_optional(conn).await?;
    state.map(|s| Place { table: "jobs", row: &job_seq }.parse("state", &s)).transpose()
}

/// Whether the job was paused before all of its tasks were written, and they are not yet. The caller holds the row's lock.
async fn is_unwritten(conn: &mut PgConnection, job_seq: i64) -> Result<bool, StoreError> {
    let sql = "-- is_unwritten\nSELECT unwritten FROM jobs WHERE seq = $1";
    Ok(sqlx::query_scalar(sql).bind(job_seq).fetch_one(conn).await?)
}

/// Writes the state that the state machine gave. The caller holds the row's lock.
pub(crate) async fn set_state(conn: &mut PgConnection, job_seq: i64, state: JobState) -> Result<(), StoreError> {
    let sql = "-- set_state
        UPDATE jobs SET state = $2::job_state, cancel_pending = ($2 = 'cancelled'),
            unwritten = ($2 = 'paused' AND (unwritten OR state = 'accepting')),
            finished_at = CASE WHEN $3 THEN COALESCE(finished_at, now()) END
        WHERE seq = $1";
    sqlx::query(sql).bind(job_seq).bind(state.name()).bind(state.is_terminal()).execute(conn).await?;
    Ok(())
}
