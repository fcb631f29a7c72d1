//! What an export says of a result beyond the result itself: the labels of its source, and what its record counts.

use crate::columns::Place;
use crate::{Store, StoreError};
use domain::TaskId;
use serde_json::Value;
use std::collections::BTreeMap;

/// Facts about one result.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PairFacts {
    /// Labels of its source.
    pub labels: BTreeMap<String, String>,
    /// Steps that were taken, as its record has them.
    pub steps: Option<i64>,
}

impl Store {
    /// Facts about those of the job's results that have these numbers, by number.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.pair_facts", skip(self, numbers), fields(n = numbers.len()))]
    pub async fn pair_facts(&self, job_seq: i64, numbers: &[i32]) -> Result<BTreeMap<i32, PairFacts>, StoreError> {
        // results, sources and records never change, so this may be read after the page of results it belongs to
        let sql = "-- pair_facts
            SELECT r.no, s.labels, (d.record #>> '{outcome,steps}')::bigint AS steps
            FROM unnest($2::integer[]) AS asked(no)
            JOIN results r ON r.job_seq = $1 AND r.no = asked.no
            JOIN jobs j ON j.seq = r.job_seq
            JOIN sources s ON s.dataset = j.dataset AND s.ordinal = r.ordinal
            LEFT JOIN records d ON d.digest = r.record";
        let rows: Vec<(i32, Value, Option<i64>)> =
            sqlx::query_as(sql).bind(job_seq).bind(numbers).fetch_all(&self.pool).await?;
        let facts = |(no, labels, steps)| {
            let task = TaskId { job: job_seq, no };
            let labels = Place { table: "sources", row: &task }.json("labels of its source", labels)?;
            Ok((no, PairFacts { labels, steps }))
        };
        rows.into_iter().map(facts).collect()
    }
}
