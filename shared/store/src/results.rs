//! Results and records, as they are read. They are written by `outcomes`, with the finish they belong to, and never changed.

use crate::columns::{Place, seed_value};
use crate::reviews::{Review, ReviewColumns};
use crate::{Store, StoreError, VerdictKind};
use chrono::{DateTime, Utc};
use domain::accept::RejectReason;
use domain::ids::Epoch;
use domain::record::{Record, Verdict};
use domain::review::Decision;
use domain::{BootId, Digest, StageKey, TaskId};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The result of an edit task.
#[derive(Clone, PartialEq, Debug)]
pub struct ResultRow {
    /// The task.
    pub task: TaskId,
    /// The edit.
    pub edit_no: i16,
    /// The edit's short name.
    pub edit_slug: String,
    /// The source's place in the dataset.
    pub ordinal: i64,
    /// SHA-256 of the source's bytes.
    pub source_sha256: Digest,
    /// Where the source was registered from.
    pub source_uri: String,
    /// Factor on the edit's change.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
    /// Identity of the result.
    pub key: StageKey,
    /// The PNG with its record inside.
    pub image: Digest,
    /// The reconstruction's PNG.
    pub reconstruction: Digest,
    /// The same with a credential inside, if it has been signed.
    pub signed_reconstruction: Option<Digest>,
    /// Digest of the record.
    pub record: Digest,
    /// Scores by networks that were not optimised against.
    pub metrics: BTreeMap<String, f64>,
    /// Whether the counterfactual holds, where the pack can tell.
    pub verdict: Option<Verdict>,
    /// Why it was rejected.
    pub rejected_for: Vec<RejectReason>,
    /// Its share of GPU time.
    pub gpu_ms: f64,
    /// The fence it was made under.
    pub epoch: Epoch,
    /// The worker that made it.
    pub boot: BootId,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// What a reviewer said of it.
    pub review: Option<Review>,
}

/// Which results; all when empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResultFilter {
    /// Only those of this edit.
    pub edit_no: Option<i16>,
    /// Only those of this verdict.
    pub verdict: Option<VerdictKind>,
    /// Only those that were rejected for this, among other reasons perhaps.
    pub reason: Option<RejectReason>,
    /// Only those of which a reviewer decided this.
    pub decision: Option<Decision>,
}

/// A provenance record.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordRow {
    /// Digest of its canonical JSON.
    pub digest: Digest,
    /// The task it is of.
    pub task: TaskId,
    /// The record.
    pub record: Record,
}

/// A result as `select_results` reads it.
#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    job_seq: i64,
    no: i32,
    edit_no: i16,
    slug: String,
    ordinal: i64,
    source_sha256: Vec<u8>,
    source_uri: String,
    strength: f64,
    seed: i64,
    key: Vec<u8>,
    image: Vec<u8>,
    reconstruction: Vec<u8>,
    signed_reconstruction: Option<Vec<u8>>,
    record: Vec<u8>,
    metrics: Value,
    verdict: Option<String>,
    rejected_for: Vec<String>,
    gpu_ms: f64,
    epoch: i64,
    boot: Uuid,
    created_at: DateTime<Utc>,
    #[sqlx(flatten)]
    review: ReviewColumns,
}

impl TryFrom<Row> for ResultRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let task = TaskId { job: row.job_seq, no: row.no };
        let at = Place { table: "results", row: &task };
        Ok(Self {
            task,
            edit_no: row.edit_no,
            edit_slug: row.slug,
            ordinal: row.ordinal,
            source_sha256: at.digest("sha256 of its source", &row.source_sha256)?,
            source_uri: row.source_uri,
            strength: row.strength,
            seed: seed_value(row.seed),
            key: at.key("key", &row.key)?,
            image: at.digest("image", &row.image)?,
            reconstruction: at.digest("reconstruction", &row.reconstruction)?,
            signed_reconstruction: row
                .signed_reconstruction
                .map(|bytes| at.digest("its reconstruction as signed", &bytes))
                .transpose()?,
            record: at.digest("record", &row.record)?,
            metrics: at.json("metrics", row.metrics)?,
            verdict: row.verdict.map(|v| at.json("verdict", Value::String(v))).transpose()?,
            rejected_for: row
                .rejected_for
                .iter()
                .map(|reason| at.parse("rejected_for", reason))
                .collect::<Result<_, _>>()?,
            gpu_ms: row.gpu_ms,
            epoch: row.epoch,
            boot: BootId::from_uuid(row.boot),
            created_at: row.created_at,
            review: row.review.read(Place { table: "reviews", row: &task })?,
        })
    }
}

/// SQL of everything that is shown of results, from something called `r` that has their columns.
macro_rules! select_results {
    ($from:literal, $rest:literal) => {
        concat!(
            "-- results
            SELECT r.job_seq, r.no, r.edit_no, e.slug, r.ordinal, s.sha256 AS source_sha256, s.uri AS source_uri, r.strength, r.seed,
                   r.key, r.image, r.reconstruction, r.record, r.metrics, r.verdict, r.rejected_for, r.gpu_ms, r.epoch, r.boot, r.created_at,
                   (SELECT c.signed FROM companions c WHERE c.artifact = r.reconstruction AND c.kind = 'reconstruction')
                       AS signed_reconstruction,
                   v.decision, v.note, v.reviewer, v.at AS reviewed_at
            FROM ",
            $from,
            " JOIN jobs j ON j.seq = r.job_seq
            JOIN job_edits e ON e.job_seq = r.job_seq AND e.edit_no = r.edit_no
            JOIN sources s ON s.dataset = j.dataset AND s.ordinal = r.ordinal
            LEFT JOIN reviews v ON v.job_seq = r.job_seq AND v.no = r.no ",
            $rest
        )
    };
}
pub(crate) use select_results;

impl Store {
    /// The job's results by task number, after the number `after`.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.results", skip(self))]
    pub async fn results(
        &self,
        job_seq: i64,
        filter: ResultFilter,
        after: Option<i32>,
        limit: i64,
    ) -> Result<Vec<ResultRow>, StoreError> {
        // Written as asked, so that each combination is planned with the index that fits it. The page is taken before anything is
        // joined to it: right after a large job the planner knew of none of its results, and joined all of them to sort for ten.
        let mut sql = QueryBuilder::<Postgres>::new(
            "-- results: page\nWITH page AS MATERIALIZED (SELECT * FROM results r WHERE r.job_seq = ",
        );
        sql.push_bind(job_seq).push(" AND r.no > ").push_bind(after.unwrap_or(-1));
        if let Some(edit_no) = filter.edit_no {
            sql.push(" AND r.edit_no = ").push_bind(edit_no);
        }
        match filter.verdict {
            Some(VerdictKind::Accepted) => sql.push(" AND r.verdict = 'accept'"),
            Some(VerdictKind::Rejected) => sql.push(" AND r.verdict = 'reject'"),
            Some(VerdictKind::Unjudged) => sql.push(" AND r.verdict IS NULL"),
            None => &mut sql,
        };
        if let Some(reason) = filter.reason {
            sql.push(" AND r.verdict = 'reject' AND ").push_bind(reason.name()).push(" = ANY(r.rejected_for)");
        }
        if let Some(decision) = filter.decision {
            sql.push(" AND r.no IN (SELECT no FROM reviews WHERE job_seq = ").push_bind(job_seq);
            sql.push(" AND decision = ").push_bind(decision.name()).push(")");
        }
        sql.push(" ORDER BY r.no LIMIT ").push_bind(limit).push(") ");
        sql.push(select_results!("page r", "ORDER BY r.no"));
        let rows: Vec<Row> = sql.build_query_as().fetch_all(&self.pool).await?;
        rows.into_iter().map(ResultRow::try_from).collect()
    }

    /// The task's result.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.result", skip(self))]
    pub async fn result(&self, task: TaskId) -> Result<Option<ResultRow>, StoreError> {
        let sql = select_results!("results r", "WHERE r.job_seq = $1 AND r.no = $2");
        let row: Option<Row> = sqlx::query_as(sql).bind(task.job).bind(task.no).fetch_optional(&self.pool).await?;
        row.map(ResultRow::try_from).transpose()
    }

    /// The record of this digest.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.record", skip(self))]
    pub async fn record(&self, digest: Digest) -> Result<Option<RecordRow>, StoreError> {
        let sql = "-- record\nSELECT job_seq, no, record FROM records WHERE digest = $1";
        let row: Option<(i64, i32, Value)> =
            sqlx::query_as(sql).bind(digest.as_bytes().as_slice()).fetch_optional(&self.pool).await?;
        let Some((job, no, record)) = row else { return Ok(None) };
        let record = Place { table: "records", row: &digest }.json("record", record)?;
        Ok(Some(RecordRow { digest, task: TaskId { job, no }, record }))
    }
}
