//! Results in the order of a score, and in a given order: what galleries sort by.

use crate::columns::Place;
use crate::{ResultRow, Store, StoreError};
use domain::accept::RejectReason;
use domain::record::Verdict;

/// What a gallery sorts and filters by.
#[derive(Clone, PartialEq, Debug)]
pub struct Scored {
    /// The task's number.
    pub no: i32,
    /// The edit.
    pub edit_no: i16,
    /// The score; results without it are left out.
    pub value: f64,
    /// The verdict.
    pub verdict: Option<Verdict>,
    /// Why it was rejected.
    pub rejected_for: Vec<RejectReason>,
}

type Row = (i32, i16, f64, Option<String>, Vec<String>);

impl Store {
    /// The score `metric` of every result of the job that has it. Reads all of the job's results: callers keep what it returns.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.scores", skip(self))]
    pub async fn scores(&self, job_seq: i64, metric: &str) -> Result<Vec<Scored>, StoreError> {
        let sql = "-- scores
            SELECT no, edit_no, (metrics ->> $2)::float8, verdict, rejected_for FROM results
            WHERE job_seq = $1 AND metrics ? $2";
        let rows: Vec<Row> = sqlx::query_as(sql).bind(job_seq).bind(metric).fetch_all(&self.pool).await?;
        let scored = |(no, edit_no, value, verdict, rejected_for): Row| {
            let at = Place { table: "results", row: &no };
            Ok(Scored {
                no,
                edit_no,
                value,
                verdict: verdict.map(|v| at.json("verdict", serde_json::Value::String(v))).transpose()?,
                rejected_for: rejected_for
                    .iter()
                    .map(|reason| at.parse("rejected_for", reason))
                    .collect::<Result<_, _>>()?,
            })
        };
        rows.into_iter().map(scored).collect()
    }

    /// The job's results of these numbers, in their order; those that are not there are left out.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.results_named", skip(self, nos))]
    pub async fn results_named(&self, job_seq: i64, nos: &[i32]) -> Result<Vec<ResultRow>, StoreError> {
        let mut rows = self.results_among(job_seq, nos).await?;
        rows.sort_by_key(|row| nos.iter().position(|no| *no == row.task.no));
        Ok(rows)
    }
}
