//! How many outputs of each edit were accepted, and why the others were not: rollups plus deltas that are not yet folded, exact at
//! every snapshot as the counts of tasks are. The deltas are appended by a trigger of the statement that adds the results.

use crate::columns::Place;
use crate::{LeaderEpoch, Mismatch, Store, StoreError};
use domain::accept::RejectReason;
use std::collections::BTreeMap;
use std::{fmt, str::FromStr};

/// What the rules of acceptance say of an output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VerdictKind {
    /// Every rule is met.
    Accepted,
    /// A rule is missed.
    Rejected,
    /// No rule applies.
    Unjudged,
}

impl VerdictKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Rejected, Self::Unjudged];

    /// The column value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Unjudged => "unjudged",
        }
    }
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VerdictKind {
    type Err = UnknownVerdict;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|v| v.name() == text).ok_or_else(|| UnknownVerdict(text.to_owned()))
    }
}

/// A verdict that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a verdict; there are accepted, rejected and unjudged")]
pub struct UnknownVerdict(pub String);

/// The results of one edit by verdict.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EditVerdicts {
    /// Outputs that meet every rule.
    pub accepted: i64,
    /// Outputs that miss a rule.
    pub rejected: i64,
    /// Outputs to which no rule applies.
    pub unjudged: i64,
    /// Rejected outputs by reason; one with several counts under each.
    pub reasons: BTreeMap<RejectReason, i64>,
}

impl Store {
    /// The job's results by edit number and verdict. An edit without results is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verdicts(&self, job_seq: i64) -> Result<BTreeMap<i16, EditVerdicts>, StoreError> {
        Ok(self.verdicts_of(&[job_seq]).await?.remove(&job_seq).unwrap_or_default())
    }

    /// The same of several jobs, by their numbers.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.verdicts", skip(self))]
    pub async fn verdicts_of(&self, jobs: &[i64]) -> Result<BTreeMap<i64, BTreeMap<i16, EditVerdicts>>, StoreError> {
        let sql = "-- verdicts
            SELECT job_seq, edit_no, verdict::text, reason, n FROM edit_verdicts WHERE job_seq = ANY($1) AND n <> 0";
        let rows: Vec<(i64, i16, String, String, i64)> = sqlx::query_as(sql).bind(jobs).fetch_all(&self.pool).await?;
        let mut told = BTreeMap::<i64, BTreeMap<i16, EditVerdicts>>::new();
        for (job, edit_no, verdict, reason, n) in rows {
            let at = Place { table: "edit_verdicts", row: &job };
            let edit = told.entry(job).or_default().entry(edit_no).or_default();
            if reason.is_empty() {
                match at.parse("verdict", &verdict)? {
                    VerdictKind::Accepted => edit.accepted = n,
                    VerdictKind::Rejected => edit.rejected = n,
                    VerdictKind::Unjudged => edit.unjudged = n,
                }
            } else {
                edit.reasons.insert(at.parse("reason", &reason)?, n);
            }
        }
        Ok(told)
    }

    /// Folds up to `limit` deltas into the rollups. Returns how many; zero when there are none, or `epoch` is not the leader's any
    /// more.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.fold_verdicts", skip(self))]
    pub async fn fold_verdicts(&self, leadership: &str, epoch: LeaderEpoch, limit: i64) -> Result<u64, StoreError> {
        // one statement: at every snapshot a delta is either here or in its rollup
        let sql = "-- fold_verdicts
            WITH taken AS (
                DELETE FROM verdict_deltas WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM verdict_deltas
                    WHERE EXISTS (SELECT FROM leader WHERE name = $1 AND epoch = $2)
                    LIMIT $3 FOR UPDATE SKIP LOCKED))
                RETURNING job_seq, edit_no, verdict, reason, n),
            folded AS (
                INSERT INTO edit_rollups AS r (job_seq, edit_no, verdict, reason, n)
                SELECT job_seq, edit_no, verdict, reason, sum(n) FROM taken GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
                ON CONFLICT (job_seq, edit_no, verdict, reason) DO UPDATE SET n = r.n + excluded.n)
            SELECT count(*) FROM taken";
        self.fold(sql, leadership, epoch, limit).await
    }

    /// Compares the job's verdicts with its results (reads all of them: for tests and `doctor`). Empty is right.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.check_verdicts", skip(self))]
    pub async fn check_verdicts(&self, job_seq: i64) -> Result<Vec<Mismatch>, StoreError> {
        let sql = "-- check_verdicts
            WITH told AS (
                SELECT edit_no, rejected_for,
                       CASE verdict WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' ELSE 'unjudged' END AS verdict
                FROM results WHERE job_seq = $1),
            actual AS (
                SELECT edit_no, verdict, '' AS reason, count(*) AS n FROM told GROUP BY 1, 2
                UNION ALL
                SELECT edit_no, verdict, reason, count(*) FROM told CROSS JOIN unnest(rejected_for) AS reason GROUP BY 1, 2, 3),
            counted AS (
                SELECT edit_no, verdict::text AS verdict, reason, n FROM edit_verdicts WHERE job_seq = $1)
            SELECT 'edit ' || edit_no AS stage, verdict AS state, reason,
                   COALESCE(c.n, 0) AS counted, COALESCE(a.n, 0) AS actual
            FROM counted c FULL JOIN actual a USING (edit_no, verdict, reason)
            WHERE COALESCE(c.n, 0) <> COALESCE(a.n, 0) ORDER BY 1, 2, 3";
        Ok(sqlx::query_as(sql).bind(job_seq).fetch_all(&self.pool).await?)
    }
}
