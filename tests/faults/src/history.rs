//! What is held against the invariants: the rows, the bucket's files, and the counts at moments while the fault lasted.

use crate::api::SOURCES;
use anyhow::{Context as _, Result};
use domain::Digest;
use sha2::{Digest as _, Sha256};
use sqlx::{PgPool, Row as _};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the evidence lies.
pub trait Installation {
    /// The database, to look at.
    fn pool(&self) -> &PgPool;
    /// The file that holds an object of the bucket.
    fn object_path(&self, key: &str) -> PathBuf;
}

/// A hand-out that was under way when a fault struck.
#[derive(Clone, Copy, Debug)]
pub struct UnderWay {
    no: i32,
    epoch: i64,
}

/// The hand-outs of a job that are under way.
///
/// # Errors
/// When the database does not answer.
pub async fn under_way(at: &impl Installation, seq: i64) -> Result<Vec<UnderWay>> {
    let sql = "SELECT no, epoch FROM tasks WHERE job_seq = $1 AND state IN ('dispatched', 'running')";
    let rows: Vec<(i32, i64)> = sqlx::query_as(sql).bind(seq).fetch_all(at.pool()).await?;
    Ok(rows.into_iter().map(|(no, epoch)| UnderWay { no, epoch }).collect())
}

/// How many of these are still as they were: neither ended nor handed out anew.
///
/// # Errors
/// When the database does not answer.
pub async fn still_under_way(at: &impl Installation, seq: i64, then: &[UnderWay]) -> Result<i64> {
    let sql = "SELECT count(*) FROM unnest($2::integer[], $3::bigint[]) AS f(no, epoch)
        JOIN tasks t ON t.job_seq = $1 AND t.no = f.no AND t.epoch = f.epoch
        WHERE t.state NOT IN ('succeeded', 'dead', 'cancelled')";
    let (nos, epochs): (Vec<i32>, Vec<i64>) = then.iter().map(|u| (u.no, u.epoch)).unzip();
    Ok(sqlx::query_scalar(sql).bind(seq).bind(nos).bind(epochs).fetch_one(at.pool()).await?)
}

/// How far a job is: tasks that have succeeded, and whether the job has ended with all of its tasks.
///
/// # Errors
/// When the database does not answer.
pub async fn progress(at: &impl Installation, seq: i64) -> Result<(i64, bool)> {
    let sql = "SELECT count(*) FILTER (WHERE t.state = 'succeeded'),
            j.state IN ('succeeded', 'partial', 'failed', 'cancelled')
                AND count(*) FILTER (WHERE t.state NOT IN ('succeeded', 'dead', 'cancelled')) = 0
        FROM jobs j LEFT JOIN tasks t ON t.job_seq = j.seq WHERE j.seq = $1 GROUP BY j.state";
    let found: Option<(i64, bool)> = sqlx::query_as(sql).bind(seq).fetch_optional(at.pool()).await?;
    Ok(found.unwrap_or((0, false)))
}

/// Waits for the end of a job, as long as its tasks go on ending: false when none has ended for `patience`. (A machine that others
/// use may be slow; a job that stands still is lost.)
pub async fn until_ended(at: &impl Installation, seq: i64, patience: Duration) -> bool {
    let (mut last, mut since) = (-1, Instant::now());
    while since.elapsed() < patience {
        // a database that is away is asked again
        match progress(at, seq).await {
            Ok((_, true)) => return true,
            Ok((done, false)) if done != last => (last, since) = (done, Instant::now()),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

/// Writes down what the database holds at the moment a cancel has been acknowledged, in a table of the harness.
///
/// # Errors
/// When the database does not answer.
pub async fn note_cancel(at: &impl Installation, seq: i64) -> Result<()> {
    let sql = "CREATE TABLE IF NOT EXISTS faults_cancels (
            job_seq bigint, at timestamptz, results bigint, succeeded bigint, epochs numeric)";
    sqlx::query(sql).execute(at.pool()).await?;
    let sql = "INSERT INTO faults_cancels SELECT $1, now(), (SELECT count(*) FROM results WHERE job_seq = $1),
        count(*) FILTER (WHERE state = 'succeeded'), sum(epoch) FROM tasks
        WHERE job_seq = $1 AND EXISTS (SELECT FROM jobs WHERE seq = $1 AND state = 'cancelled')
        HAVING EXISTS (SELECT FROM jobs WHERE seq = $1 AND state = 'cancelled')";
    sqlx::query(sql).bind(seq).execute(at.pool()).await?;
    Ok(())
}

/// Looks at the counts again and again while a run lasts (I6 holds at every snapshot, not only at the end).
#[derive(Debug, Default)]
pub struct Snapshots {
    stop: AtomicBool,
    /// Snapshots that were taken.
    pub taken: AtomicU32,
    wrong: AtomicU32,
}

impl Snapshots {
    /// Until [`Snapshots::end`].
    pub async fn take(&self, at: &impl Installation, seq: i64) {
        while !self.stop.load(Ordering::Relaxed) {
            // a database that is away, as it may be now, shows nothing wrong
            if let Ok(wrong) = counts_are_wrong(at, seq).await {
                self.taken.fetch_add(1, Ordering::Relaxed);
                self.wrong.fetch_add(u32::from(wrong), Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }

    /// No more.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn violation(&self) -> Option<String> {
        let (wrong, taken) = (self.wrong.load(Ordering::Relaxed), self.taken.load(Ordering::Relaxed));
        (wrong > 0).then(|| format!("I6: the counts were wrong in {wrong} of {taken} snapshots"))
    }
}

/// What a reader reads that is busy all the time.
pub const READ: &str = "SELECT state, count(*), sum(epoch) FROM tasks GROUP BY state";

/// Whether the counts of a job differ from its tasks just now.
///
/// # Errors
/// When the database does not answer.
pub async fn counts_are_wrong(at: &impl Installation, seq: i64) -> Result<bool> {
    Ok(sqlx::query_scalar::<_, i64>(COUNTS).bind(seq).fetch_one(at.pool()).await? > 0)
}

/// Rows that must not be there, by the invariant they break; each takes the job's number.
const NONE: [(&str, &str); 11] = [
    (
        "I1: tasks that are not terminal",
        "SELECT count(*) FROM tasks WHERE job_seq = $1 AND state NOT IN ('succeeded', 'dead', 'cancelled')",
    ),
    (
        "I1: a job whose end does not fit its tasks",
        "SELECT count(*) FROM jobs j WHERE seq = $1 AND (state = 'succeeded') IS DISTINCT FROM
            (state <> 'cancelled' AND NOT EXISTS (SELECT FROM tasks t WHERE t.job_seq = j.seq AND t.state <> 'succeeded'))",
    ),
    (
        "I2: succeeded edits without their result, or results without a succeeded edit",
        "SELECT count(*) FROM tasks t LEFT JOIN results r USING (job_seq, no)
            WHERE t.job_seq = $1 AND t.stage = 'edit' AND (t.state = 'succeeded') <> (r.no IS NOT NULL)",
    ),
    (
        "I2: results of the same edit, source, strength and seed",
        "SELECT count(*) FROM (SELECT FROM results WHERE job_seq = $1
            GROUP BY edit_no, ordinal, strength, seed HAVING count(*) > 1) AS doubled",
    ),
    (
        "I3: results of another hand-out than the last",
        "SELECT count(*) FROM results r JOIN tasks t USING (job_seq, no) WHERE r.job_seq = $1 AND r.epoch <> t.epoch",
    ),
    (
        "I3: hand-outs that were given up and succeeded",
        "SELECT count(*) FROM attempts a JOIN results r USING (job_seq, no, epoch) WHERE a.job_seq = $1",
    ),
    (
        "I4: results whose record is not kept",
        "SELECT count(*) FROM results r LEFT JOIN records d ON d.digest = r.record WHERE r.job_seq = $1 AND d.digest IS NULL",
    ),
    ("I6: counts that differ from the tasks at the end", COUNTS),
    ("I7: tasks tried too often", "SELECT count(*) FROM tasks WHERE job_seq = $1 AND (attempts > 4 OR losses > 11)"),
    (
        "I10: stage keys with two producers of which none was given up",
        "SELECT count(*) FROM (SELECT key FROM tasks WHERE job_seq = $1 AND stage <> 'edit'
            GROUP BY key HAVING count(*) > 1 AND bool_and(state = 'succeeded')) AS doubled",
    ),
    (
        "D: tasks that a passing fault killed",
        "SELECT count(*) FROM tasks WHERE job_seq = $1 AND state = 'dead'",
    ),
];

/// Messages of the job in the outbox. They may outlast it: a publisher whose connection is half-open notices that by its heartbeats or
/// its missing confirm, half a minute later, and other coordinators finish the job meanwhile.
const OUTBOX: &str = "SELECT count(*) FROM outbox o JOIN batches b ON b.id = o.batch WHERE b.job_seq = $1";
const OUTBOX_EMPTIES: Duration = Duration::from_secs(60);

const COUNTS: &str = "SELECT count(*) FROM
        (SELECT stage, state, sum(n) AS n FROM
            (SELECT stage, state, n FROM count_deltas WHERE job_seq = $1
             UNION ALL SELECT stage, state, n FROM job_rollups WHERE job_seq = $1) AS parts
         GROUP BY 1, 2 HAVING sum(n) <> 0) AS counted
    FULL JOIN (SELECT stage, state, count(*) AS n FROM tasks WHERE job_seq = $1 GROUP BY 1, 2) AS held
    USING (stage, state) WHERE counted.n IS DISTINCT FROM held.n";

/// What does not hold, one sentence each.
///
/// # Errors
/// When the database or the bucket's folder cannot be read.
pub async fn violations(at: &impl Installation, seq: i64, snapshots: &Snapshots) -> Result<Vec<String>> {
    let mut found: Vec<String> = snapshots.violation().into_iter().collect();
    let ended = Instant::now();
    loop {
        let unsent: i64 = sqlx::query_scalar(OUTBOX).bind(seq).fetch_one(at.pool()).await.context("the outbox")?;
        if unsent == 0 {
            break;
        }
        if ended.elapsed() > OUTBOX_EMPTIES {
            found.push(format!("I5: messages that stay in the outbox after the end: {unsent}"));
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (what, sql) in NONE {
        let count: i64 = sqlx::query_scalar(sql).bind(seq).fetch_one(at.pool()).await.context(what)?;
        if count > 0 {
            found.push(format!("{what}: {count}"));
        }
    }
    found.extend(missing_tasks(at, seq).await?);
    found.extend(after_cancel(at, seq).await?);
    found.extend(objects(at, seq).await?);
    Ok(found)
}

/// I1: every task that was asked for exists. A training that an earlier job did is not asked for again.
async fn missing_tasks(at: &impl Installation, seq: i64) -> Result<Vec<String>> {
    let sql = "SELECT stage::text, count(*) FROM tasks t WHERE job_seq = $1
        AND EXISTS (SELECT FROM jobs WHERE seq = $1 AND state <> 'cancelled') GROUP BY stage";
    let counts: BTreeMap<String, i64> =
        sqlx::query_as::<_, (String, i64)>(sql).bind(seq).fetch_all(at.pool()).await?.into_iter().collect();
    let short = |stage: &str, least: i64| {
        let there = counts.get(stage).copied().unwrap_or(0);
        (!counts.is_empty() && there < least).then(|| format!("I1: {there} of {least} {stage} tasks exist"))
    };
    Ok(short("invert", SOURCES).into_iter().chain(short("edit", 2 * SOURCES)).collect())
}

/// I8, by what was there when the cancel was acknowledged: a time in the rows would not do, because a finish that the cancel waited
/// for may have begun after the cancel did. Since then nothing was handed out, and nothing succeeded.
async fn after_cancel(at: &impl Installation, seq: i64) -> Result<Vec<String>> {
    let known: bool =
        sqlx::query_scalar("SELECT to_regclass('faults_cancels') IS NOT NULL").fetch_one(at.pool()).await?;
    if !known {
        return Ok(Vec::new());
    }
    let sql = "SELECT c.results, c.succeeded, c.epochs,
            (SELECT count(*) FROM results WHERE job_seq = $1) AS results_now,
            (SELECT count(*) FROM tasks WHERE job_seq = $1 AND state = 'succeeded') AS succeeded_now,
            (SELECT sum(epoch) FROM tasks WHERE job_seq = $1) AS epochs_now
        FROM faults_cancels c WHERE job_seq = $1";
    let sql = format!(
        "SELECT results_now - results, succeeded_now - succeeded, (epochs_now - epochs)::bigint FROM ({sql}) AS c"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(seq).fetch_all(at.pool()).await?;
    let mut found = Vec::new();
    for row in rows {
        for (place, what) in ["results came", "tasks succeeded", "hand-outs began"].into_iter().enumerate() {
            let more: i64 = row.try_get(place)?;
            if more != 0 {
                found.push(format!("I8: {more} {what} after the cancel was acknowledged"));
            }
        }
    }
    Ok(found)
}

/// A result's stage key, image, reconstruction and record, and its task as pointers name it.
type Named = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, String);

/// I2, I4 and I12: every object of every result is in the bucket and hashes to its name, and the pointer that a lost database
/// would be rebuilt from says what the row says.
async fn objects(at: &impl Installation, seq: i64) -> Result<Vec<String>> {
    let sql = "SELECT r.key, r.image, r.reconstruction, r.record, 'job_' || replace(j.id::text, '-', '') || '-' || r.no
        FROM results r JOIN jobs j ON j.seq = r.job_seq WHERE r.job_seq = $1";
    let rows: Vec<Named> = sqlx::query_as(sql).bind(seq).fetch_all(at.pool()).await?;
    let mut found = Vec::new();
    for (key, image, reconstruction, record, task) in &rows {
        for (what, digest) in [("I2: image", image), ("I4: reconstruction", reconstruction), ("I4: record", record)] {
            found.extend(object(at, what, digest));
        }
        let name = format!("results/{}/{task}.json", hex::encode(key));
        let pointer = at.object_path(&name);
        let told =
            std::fs::read(&pointer).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let image = told.as_ref().and_then(|told| told["outcome"]["image"].as_str());
        let Some(image) = image else {
            found.push(format!("I12: {name} is missing or cannot be read"));
            continue;
        };
        // another hand-out may have written the pointer last: what it names is an image of the same task, and must be there
        match hex::decode(image) {
            Ok(digest) => found.extend(object(at, "I12: image that a pointer names", &digest)),
            Err(_) => found.push(format!("I12: {name} names '{image}'")),
        }
    }
    let sql = "SELECT a.artifact FROM stage_artifacts a JOIN tasks t ON t.key = a.key
        WHERE t.job_seq = $1 AND t.stage <> 'edit' AND t.state = 'succeeded' AND a.state = 'done'";
    let artifacts: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind(seq).fetch_all(at.pool()).await?;
    found.extend(artifacts.iter().filter_map(|digest| object(at, "I4: artifact", digest)));
    Ok(found)
}

fn object(at: &impl Installation, what: &str, digest: &[u8]) -> Option<String> {
    let name = hex::encode(digest);
    let Ok(digest) = name.parse::<Digest>() else { return Some(format!("{what} '{name}' is no digest")) };
    match std::fs::read(at.object_path(&digest.cas_key())) {
        Err(error) => Some(format!("{what} {name} is not in the bucket: {error}")),
        Ok(bytes) if hex::encode(Sha256::digest(&bytes)) != name => {
            Some(format!("{what} {name} has {} bytes of something else", bytes.len()))
        }
        Ok(_) => None,
    }
}

/// Waits until `fits` is true of the database; false when `patience` is over first.
pub async fn until<F>(patience: Duration, mut fits: impl FnMut() -> F) -> bool
where
    F: Future<Output = Result<bool>>,
{
    let began = Instant::now();
    while began.elapsed() < patience {
        // a database that is away is asked again
        if matches!(fits().await, Ok(true)) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
