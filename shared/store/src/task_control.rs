//! Single tasks on a user's word.

use crate::counts::{deltas_of_moved, unspent};
use crate::error::retrying;
use crate::outbox::{OutboxKind, insert};
use crate::tasks::FenceColumns;
use crate::{Fence, OutboxMessage, Store, StoreError};

/// What cancelling tasks did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CancelledTasks {
    /// Tasks that are cancelled now, edits included that waited for a cancelled inversion.
    pub cancelled: u64,
    /// Those of them that a worker held.
    pub held: Vec<Fence>,
    /// Trainings among those that were named: all edits of theirs wait for them, so they are not cancelled alone.
    pub trainings: Vec<i32>,
}

impl Store {
    /// Cancels unfinished tasks of the job by their numbers; others are left as they are. With an inversion go the job's edits that
    /// wait for it; should another job wait for it too, the rearming sweep gives it to that one. `revoke` makes the message that
    /// tells workers which hand-outs are void, sent in the same transaction. From the moment this returns no result of these tasks
    /// is committed any more.
    ///
    /// # Errors
    /// When the database fails; then nothing is cancelled.
    #[tracing::instrument(name = "db.cancel_tasks", skip(self, nos, revoke), fields(n = nos.len()))]
    pub async fn cancel_tasks(
        &self,
        job_seq: i64,
        nos: &[i32],
        revoke: impl Fn(&[Fence]) -> OutboxMessage,
    ) -> Result<CancelledTasks, StoreError> {
        retrying!(self.try_cancel_tasks(job_seq, nos, &revoke).await)
    }

    async fn try_cancel_tasks(
        &self,
        job_seq: i64,
        nos: &[i32],
        revoke: &impl Fn(&[Fence]) -> OutboxMessage,
    ) -> Result<CancelledTasks, StoreError> {
        let mut tx = self.pool.begin().await?;
        let trainings = "-- cancel_tasks: trainings
            SELECT no FROM tasks WHERE job_seq = $1 AND no = ANY($2) AND stage = 'train' ORDER BY no";
        let trainings: Vec<i32> = sqlx::query_scalar(trainings).bind(job_seq).bind(nos).fetch_all(&mut *tx).await?;
        let sql = concat!(
            "-- cancel_tasks
            WITH named AS (
                SELECT no, state, key, stage, charged, held_since FROM tasks
                WHERE job_seq = $1 AND no = ANY($2) AND stage <> 'train'
                    AND state IN ('blocked', 'ready', 'dispatched', 'running', 'retry_wait', 'paused') ORDER BY no FOR UPDATE),
            followers AS (
                SELECT no, state, charged, held_since FROM tasks
                WHERE job_seq = $1 AND (state = 'blocked' OR state = 'paused') AND no <> ALL($2)
                    AND needs IN (SELECT key FROM named WHERE stage = 'invert') ORDER BY no FOR UPDATE),
            held AS (
                SELECT no, state AS was, charged, held_since FROM named
                UNION ALL SELECT no, state, charged, held_since FROM followers),
            moved AS (
                UPDATE tasks t SET state = 'cancelled', cancelled_for = 'request', batch = NULL, boot = NULL, held_since = NULL,
                    charged = NULL, next_at = NULL, reason = NULL, detail = NULL, updated_at = now()
                FROM held h WHERE t.job_seq = $1 AND t.no = h.no
                RETURNING t.job_seq, t.no, t.epoch, t.key, t.stage, h.was, t.state, t.reason, 0::float8 AS gpu_ms, ",
            unspent!(),
            " AS charge_ms),
            ",
            deltas_of_moved!(),
            ",
            orphaned AS (
                UPDATE stage_artifacts a SET state = 'orphaned' FROM moved m
                WHERE m.stage <> 'edit' AND a.key = m.key AND a.state = 'pending'
                    AND a.producer_job = m.job_seq AND a.producer_no = m.no)
            SELECT no, epoch, was IN ('dispatched', 'running') FROM moved ORDER BY no"
        );
        let moved: Vec<(i32, i64, bool)> = sqlx::query_as(sql).bind(job_seq).bind(nos).fetch_all(&mut *tx).await?;
        let held = moved.iter().filter(|(.., held)| *held);
        let held: Vec<Fence> = held.map(|(no, epoch, _)| Fence::new(job_seq, *no, *epoch)).collect();
        if !held.is_empty() {
            insert(&mut tx, OutboxKind::Control, &revoke(&held)).await?;
        }
        tx.commit().await?;
        Ok(CancelledTasks { cancelled: moved.len() as u64, held, trainings })
    }

    /// Seconds since the cancel of these tasks, their job's or their own, took effect: the longest. None if none of them is cancelled
    /// under this fence.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.seconds_since_cancel", skip_all)]
    pub async fn seconds_since_cancel(&self, fences: &[Fence]) -> Result<Option<f64>, StoreError> {
        let sql = "-- seconds_since_cancel
            SELECT extract(epoch FROM clock_timestamp() - min(
                CASE WHEN j.state = 'cancelled' THEN j.finished_at WHEN t.cancelled_for = 'request' THEN t.updated_at END))::float8
            FROM unnest($1::bigint[], $2::integer[], $3::bigint[]) AS f(job_seq, no, epoch)
            JOIN jobs j ON j.seq = f.job_seq
            JOIN tasks t ON t.job_seq = f.job_seq AND t.no = f.no AND t.epoch = f.epoch";
        let columns = FenceColumns::of(fences.iter());
        let query = sqlx::query_scalar(sql).bind(columns.jobs).bind(columns.nos).bind(columns.epochs);
        Ok(query.fetch_one(&self.pool).await?)
    }
}
