//! The producers of a slice: which keys it asks for, and which of them its job is to compute.

use crate::columns::Place;
use crate::{NewTask, StoreError};
use domain::StageKey;
use sqlx::PgConnection;
use std::collections::HashSet;

/// As many keys of a slice are looked up before it is assumed that all of them are new.
const SAMPLE: usize = 16;

/// The keys that a slice's inversions and trainings produce, each once, in the order of keys, as columns.
pub(super) struct Wanted {
    keys: Vec<StageKey>,
    trains: Vec<bool>,
    /// Where in the slice; the first place, where a key is there twice.
    places: Vec<i32>,
}

/// Who computes what a slice wants.
#[derive(Default)]
pub(super) struct Claimed {
    /// Keys that others compute or have computed: their tasks are not written.
    pub others: HashSet<StageKey>,
    /// How many of these were not needed thanks to another job. The others are this job's, from an earlier slice.
    pub memoised: i64,
    /// What those that are there had cost.
    pub saved_ms: f64,
    /// How many of the memoised are not there yet, so that their cost is not known.
    pub saved_unknown: i64,
}

impl Wanted {
    pub(super) fn of(tasks: &[NewTask]) -> Self {
        let producer = |(place, task): (usize, &NewTask)| match task {
            // safe: a slice has at most MAX_SLICE tasks
            NewTask::Invert { key, .. } => Some((*key, i32::try_from(place).unwrap_or(i32::MAX), false)),
            NewTask::Train { key, .. } => Some((*key, i32::try_from(place).unwrap_or(i32::MAX), true)),
            NewTask::Edit { .. } => None,
        };
        let mut all: Vec<(StageKey, i32, bool)> = tasks.iter().enumerate().filter_map(producer).collect();
        all.sort_unstable();
        all.dedup_by_key(|(key, ..)| *key);
        let mut wanted = Self { keys: Vec::new(), trains: Vec::new(), places: Vec::new() };
        for (key, place, train) in all {
            wanted.keys.push(key);
            wanted.places.push(place);
            wanted.trains.push(train);
        }
        wanted
    }

    /// Keys and places of the slice's tasks that are to be written.
    pub(super) fn ours<'a>(&'a self, claimed: &'a Claimed) -> impl Iterator<Item = (StageKey, usize)> + 'a {
        let places = self.places.iter().filter_map(|place| usize::try_from(*place).ok());
        self.keys.iter().copied().zip(places).filter(|(key, _)| !claimed.others.contains(key))
    }

    /// Claims the keys for the job; those that nobody produces any more are taken over.
    pub(super) async fn claim(&self, conn: &mut PgConnection, job: i64, base: i32) -> Result<Claimed, StoreError> {
        if self.keys.is_empty() {
            return Ok(Claimed::default());
        }
        let keys: Vec<&[u8]> = self.keys.iter().map(|key| key.0.as_bytes().as_slice()).collect();
        if self.claim_all(conn, job, base, &keys).await? {
            return Ok(Claimed::default());
        }
        let adopt = "-- write_slice: adopt
            UPDATE stage_artifacts a SET state = 'pending', producer_job = $1, producer_no = $2 + w.pos
            FROM unnest($3::bytea[], $4::integer[]) AS w (key, pos) WHERE a.key = w.key AND a.state = 'orphaned'";
        sqlx::query(adopt).bind(job).bind(base).bind(&keys).bind(&self.places).execute(&mut *conn).await?;
        let others = "-- write_slice: others
            SELECT w.key, COALESCE(a.producer_job = $1 AND a.state <> 'orphaned', false),
                   CASE WHEN a.state = 'done' THEN a.gpu_ms END
            FROM unnest($3::bytea[], $4::integer[]) AS w (key, pos) LEFT JOIN stage_artifacts a ON a.key = w.key
            WHERE (a.producer_job = $1 AND a.producer_no = $2 + w.pos) IS NOT TRUE";
        let query = sqlx::query_as(others).bind(job).bind(base).bind(&keys).bind(&self.places);
        let rows: Vec<(Vec<u8>, bool, Option<f64>)> = query.fetch_all(conn).await?;
        let mut claimed = Claimed::default();
        for (key, repeated, cost) in rows {
            claimed.others.insert(Place { table: "stage_artifacts", row: &job }.key("key", &key)?);
            if !repeated {
                claimed.memoised += 1;
                claimed.saved_ms += cost.unwrap_or(0.0);
                claimed.saved_unknown += i64::from(cost.is_none());
            }
        }
        Ok(claimed)
    }

    /// Inserts the keys; true if not one of them was there.
    async fn claim_all(
        &self,
        conn: &mut PgConnection,
        job: i64,
        base: i32,
        keys: &[&[u8]],
    ) -> Result<bool, StoreError> {
        let statement = include_str!("../../queries/claim_producers.sql");
        let sample: Vec<&[u8]> = keys.iter().copied().step_by(keys.len().div_ceil(SAMPLE)).collect();
        let known = "-- write_slice: sample\nSELECT EXISTS (SELECT FROM stage_artifacts WHERE key = ANY($1))";
        let known: bool = sqlx::query_scalar(known).bind(&sample).fetch_one(&mut *conn).await?;
        if !known {
            // Where all keys are new, an insert that may not meet one costs a good third less than one that may.
            sqlx::query("SAVEPOINT claim").execute(&mut *conn).await?;
            let plain = sqlx::query(statement).bind(job).bind(base).bind(keys).bind(&self.trains).bind(&self.places);
            match plain.execute(&mut *conn).await {
                Ok(_) => {
                    sqlx::query("RELEASE SAVEPOINT claim").execute(conn).await?;
                    return Ok(true);
                }
                Err(error) if error.as_database_error().is_some_and(|e| e.is_unique_violation()) => {
                    sqlx::query("ROLLBACK TO SAVEPOINT claim").execute(&mut *conn).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let careful = concat!(include_str!("../../queries/claim_producers.sql"), "ON CONFLICT (key) DO NOTHING");
        let query = sqlx::query(careful).bind(job).bind(base).bind(keys).bind(&self.trains).bind(&self.places);
        Ok(query.execute(conn).await?.rows_affected() == keys.len() as u64)
    }
}
