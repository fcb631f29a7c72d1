//! Shared keys whose producer died or was cancelled: produced anew in a job that waits for them, or forgotten.

use crate::error::retrying;
use crate::{Store, StoreError};
use sqlx::PgConnection;

/// What rearming did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rearmed {
    /// Keys that got a new producer.
    pub rearmed: u64,
    /// Keys nobody waits for.
    pub forgotten: u64,
}

impl Store {
    /// Looks at up to `limit` orphaned keys: where a live job waits for one, a producer task is written into that job; the others
    /// are forgotten, so that the next job that needs them produces them as if for the first time.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.rearm_producers", skip(self))]
    pub async fn rearm_producers(&self, limit: u32) -> Result<Rearmed, StoreError> {
        let mut all = Rearmed::default();
        for _ in 0..limit {
            match retrying!(self.rearm_one().await)? {
                None => break,
                Some(true) => all.rearmed += 1,
                Some(false) => all.forgotten += 1,
            }
        }
        Ok(all)
    }

    /// One orphaned key. None if there is none; true if it got a producer.
    async fn rearm_one(&self) -> Result<Option<bool>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let sql = "-- rearm_producers
            SELECT key, stage::text FROM stage_artifacts WHERE state = 'orphaned' LIMIT 1 FOR UPDATE SKIP LOCKED";
        let orphan: Option<(Vec<u8>, String)> = sqlx::query_as(sql).fetch_optional(&mut *tx).await?;
        let Some((key, stage)) = orphan else { return Ok(None) };
        let waiting = find_waiting(&mut tx, &key, &stage).await?;
        let rearmed = match waiting {
            Some((job_seq, edit_no, ordinal)) => write_producer(&mut tx, &key, job_seq, edit_no, ordinal).await?,
            None => {
                let sql = "-- rearm_producers: forget\nDELETE FROM stage_artifacts WHERE key = $1";
                sqlx::query(sql).bind(&key).execute(&mut *tx).await?;
                false
            }
        };
        tx.commit().await?;
        Ok(Some(rearmed))
    }
}

/// A live job that waits for the key, a paused one only if there is no other: with what its producer task needs to know.
async fn find_waiting(
    conn: &mut PgConnection,
    key: &[u8],
    stage: &str,
) -> Result<Option<(i64, i16, Option<i64>)>, StoreError> {
    let latents = "-- rearm_producers: followers
        SELECT t.job_seq, (-1)::smallint, t.ordinal FROM tasks t JOIN jobs j ON j.seq = t.job_seq
        WHERE t.state = 'blocked' AND t.needs = $1::bytea AND j.state IN ('accepting', 'active', 'paused')
        ORDER BY j.state = 'paused', t.job_seq LIMIT 1";
    let gates = "-- rearm_producers: gates
        SELECT e.job_seq, e.edit_no, NULL::bigint FROM job_edits e JOIN jobs j ON j.seq = e.job_seq
        WHERE e.gate = 'waiting' AND e.mapper_key = $1::bytea AND j.state IN ('accepting', 'active', 'paused')
        ORDER BY j.state = 'paused', e.job_seq LIMIT 1";
    let sql = if stage == "train" { gates } else { latents };
    Ok(sqlx::query_as(sql).bind(key).fetch_optional(conn).await?)
}

/// Writes a producer into the job. False if the job ended meanwhile: the key stays an orphan for the next pass.
async fn write_producer(
    conn: &mut PgConnection,
    key: &[u8],
    job_seq: i64,
    edit_no: i16,
    ordinal: Option<i64>,
) -> Result<bool, StoreError> {
    let sql = "-- rearm_producers: write
        WITH job AS (
            UPDATE jobs SET next_no = next_no + 1
            WHERE seq = $2 AND state IN ('accepting', 'active', 'paused') RETURNING next_no - 1 AS no),
        written AS (
            INSERT INTO tasks (job_seq, no, stage, state, edit_no, ordinal, key)
            SELECT $2, no, CASE WHEN $3 < 0 THEN 'invert' ELSE 'train' END::task_stage, 'ready', $3, $4, $1 FROM job
            RETURNING no, stage),
        deltas AS (INSERT INTO count_deltas (job_seq, stage, state, n) SELECT $2, stage, 'ready', 1 FROM written)
        UPDATE stage_artifacts SET state = 'pending', producer_job = $2, producer_no = written.no FROM written WHERE key = $1";
    let updated = sqlx::query(sql).bind(key).bind(job_seq).bind(edit_no).bind(ordinal).execute(conn).await?;
    Ok(updated.rows_affected() == 1)
}
