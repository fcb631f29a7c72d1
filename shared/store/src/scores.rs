//! Results in the order of a score: what galleries sort by.
//!
//! An index for each score has results of the same edit, verdict and reasons as a run, in the score's order. Runs are few: their first
//! entries are found by skipping from one to the next, those that do not fit are left out, and a page is merged from the heads of the
//! rest. So the time of a page follows neither the number of results nor what is asked for.

use crate::results::{Row, select_results};
use crate::{ResultFilter, ResultRow, Store, StoreError};
use domain::accept::metric;
use std::fmt;
use std::str::FromStr;

/// A score that results can be sorted by. A new one needs an index: see `results_by_preservation` in the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Score {
    /// The judge's probability of the target.
    TargetProbability,
    /// Share of the other attributes that read as before.
    Preservation,
    /// Likeness of the person.
    Identity,
    /// Mean change over the image.
    MeanChange,
    /// Mean change outside the edit's region.
    OutsideChange,
    /// What the second CLIP sees of the text.
    SecondClipGain,
    /// The strength that a search found.
    Strength,
}

impl Score {
    /// All scores.
    pub const ALL: [Self; 7] = [
        Self::TargetProbability,
        Self::Preservation,
        Self::Identity,
        Self::MeanChange,
        Self::OutsideChange,
        Self::SecondClipGain,
        Self::Strength,
    ];

    /// Its name among a result's metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TargetProbability => metric::TARGET_PROBABILITY,
            Self::Preservation => metric::PRESERVATION,
            Self::Identity => metric::IDENTITY,
            Self::MeanChange => metric::MEAN_CHANGE,
            Self::OutsideChange => metric::OUTSIDE_CHANGE,
            Self::SecondClipGain => metric::SECOND_CLIP_GAIN,
            Self::Strength => "strength",
        }
    }
}

impl FromStr for Score {
    type Err = UnknownScore;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|score| score.name() == text).ok_or_else(|| UnknownScore(text.to_owned()))
    }
}

/// A score that results are not sorted by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownScore(pub String);

impl fmt::Display for UnknownScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "results cannot be sorted by '{}'; they can by {}", self.0, Score::ALL.map(Score::name).join(", "))
    }
}

impl std::error::Error for UnknownScore {}

/// An order of results; equal scores by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByScore {
    /// The score. Results without it are left out.
    pub score: Score,
    /// From the highest down.
    pub falling: bool,
}

/// What fits, of the columns of a result or of a run.
const FITS: &str = "($5::smallint IS NULL OR edit_no = $5)
    AND ($6::text IS NULL OR $6 = CASE verdict WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' ELSE 'unjudged' END)
    AND ($7::text IS NULL OR (verdict = 'reject' AND $7 = ANY (rejected_for)))";

impl ByScore {
    /// The column that is sorted by, as its index has it.
    fn value(self) -> String {
        format!("(metrics ->> '{}')::float8", self.score.name())
    }

    /// Whether a result is in the index.
    fn known(self) -> String {
        format!("metrics ->> '{}' IS NOT NULL", self.score.name())
    }

    const fn way(self) -> &'static str {
        if self.falling { "DESC" } else { "ASC" }
    }

    /// What stands after the result `$3`, in order; `$2` is the score before all others, for the first page.
    fn next(self, limit: &str) -> String {
        let (value, known, way) = (self.value(), self.known(), self.way());
        let after = if self.falling { "<" } else { ">" };
        // its score is looked up: a number that went through an address need not come back to the last digit
        let place = format!("COALESCE((SELECT {value} FROM results WHERE job_seq = $1 AND no = $3), $2)");
        format!("AND {known} AND ({value}, no) {after} ({place}, $3) ORDER BY {value} {way}, no {way} LIMIT {limit}")
    }

    /// Numbers of the page: merged from the heads of those runs that fit.
    fn of_runs(self) -> String {
        let (value, known, way) = (self.value(), self.known(), self.way());
        let class = "result_class(verdict, rejected_for)";
        let run = format!(
            "SELECT edit_no, {class} AS class, verdict, rejected_for FROM results WHERE job_seq = $1 AND {known}"
        );
        let of_run = format!("FROM results WHERE job_seq = $1 AND edit_no = runs.edit_no AND {class} = runs.class");
        let (first, all) = (self.next("1"), self.next("$4"));
        format!(
            "runs AS (
                ({run} ORDER BY edit_no, {class} LIMIT 1)
                UNION ALL
                SELECT following.* FROM runs CROSS JOIN LATERAL (
                    {run} AND (edit_no, {class}) > (runs.edit_no, runs.class) ORDER BY edit_no, {class} LIMIT 1) AS following),
            -- a page of n has results of n runs at most, those whose heads come first
            heads AS (
                SELECT runs.edit_no, runs.class FROM runs CROSS JOIN LATERAL (SELECT {value} AS value, no {of_run} {first}) AS head
                WHERE {FITS} ORDER BY head.value {way}, head.no {way} LIMIT $4),
            page AS MATERIALIZED (
                SELECT one.* FROM heads AS runs CROSS JOIN LATERAL (SELECT * {of_run} {all}) AS one
                ORDER BY {value} {way}, no {way} LIMIT $4)"
        )
    }

    /// The same of those that a reviewer decided on: people look at few of them.
    fn of_reviewed(self) -> String {
        let next = self.next("$4");
        format!(
            "reviewed AS MATERIALIZED (SELECT no AS seen FROM reviews WHERE job_seq = $1 AND decision = $8),
            page AS MATERIALIZED (
                -- OFFSET 0: one look for each of them, whatever the planner knows of the job
                SELECT one.* FROM reviewed CROSS JOIN LATERAL (
                    SELECT * FROM results WHERE job_seq = $1 AND no = seen OFFSET 0) AS one
                WHERE {FITS} {next})"
        )
    }
}

impl Store {
    /// The job's results in the order of a score, after the one with the number `after`.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.results_by_score", skip(self))]
    pub async fn results_by_score(
        &self,
        job_seq: i64,
        filter: ResultFilter,
        order: ByScore,
        after: Option<i32>,
        limit: i64,
    ) -> Result<Vec<ResultRow>, StoreError> {
        let page = if filter.decision.is_some() { order.of_reviewed() } else { order.of_runs() };
        let (value, way) = (order.value(), order.way());
        // nothing of it comes from outside: names of scores are ours
        let sql = format!(
            "-- results: by score\nWITH RECURSIVE {page} {} ORDER BY {value} {way}, r.no {way}",
            select_results!("page r", "")
        );
        let (first, before_all) = if order.falling { (f64::INFINITY, i32::MAX) } else { (f64::NEG_INFINITY, -1) };
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(job_seq)
            .bind(first)
            .bind(after.unwrap_or(before_all))
            .bind(limit)
            .bind(filter.edit_no)
            .bind(filter.verdict.map(crate::VerdictKind::name))
            .bind(filter.reason.map(domain::accept::RejectReason::name))
            .bind(filter.decision.map(domain::review::Decision::name))
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(ResultRow::try_from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_have_a_name_and_others_are_told_which() {
        for score in Score::ALL {
            assert_eq!(score.name().parse(), Ok(score));
        }
        assert!("loss".parse::<Score>().unwrap_err().to_string().contains("preservation"));
    }
}
