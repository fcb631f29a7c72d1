//! What ended jobs came to, sealed.

use crate::columns::{Place, to_json};
use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::{Digest, JobId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// An ended job without a seal of this end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsealed {
    /// Its number.
    pub seq: i64,
    /// Its id.
    pub id: JobId,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

/// A file that a seal names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SealedFile {
    /// Its name, for example `manifest.jsonl`.
    pub name: String,
    /// Its SHA-256: the object in the bucket.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

/// A seal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealRow {
    /// The end that it seals.
    pub finished_at: DateTime<Utc>,
    /// The key that signed it.
    pub key_id: Digest,
    /// SHA-256 of the DSSE envelope, an object in the bucket.
    pub attestation: Digest,
    /// The files that it names.
    pub files: Vec<SealedFile>,
    /// Results in them.
    pub results: i64,
    /// Failures in them.
    pub failures: i64,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    finished_at: DateTime<Utc>,
    key_id: Vec<u8>,
    attestation: Vec<u8>,
    files: Value,
    results: i64,
    failures: i64,
    sealed_at: DateTime<Utc>,
}

impl Store {
    /// The job that ended first of those that no seal is of.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unsealed", skip(self))]
    pub async fn unsealed(&self) -> Result<Option<Unsealed>, StoreError> {
        let sql = "-- unsealed
            SELECT seq, id, finished_at FROM jobs
            WHERE finished_at IS NOT NULL AND sealed_for IS DISTINCT FROM finished_at ORDER BY finished_at LIMIT 1";
        let row: Option<(i64, Uuid, DateTime<Utc>)> = sqlx::query_as(sql).fetch_optional(&self.pool).await?;
        Ok(row.map(|(seq, id, finished_at)| Unsealed { seq, id: JobId::from_uuid(id), finished_at }))
    }

    /// Keeps a seal, if the job still stands where it was when its results were read. Whether it was kept; another process may have
    /// sealed the same end.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.seal", skip(self, seal))]
    pub async fn seal(&self, job: i64, seal: &SealRow) -> Result<bool, StoreError> {
        let sql = "-- seal
            WITH ended AS (
                UPDATE jobs SET sealed_for = finished_at
                WHERE seq = $1 AND finished_at = $2 AND sealed_for IS DISTINCT FROM finished_at RETURNING seq
            )
            INSERT INTO job_seals (job_seq, finished_at, key_id, attestation, files, results, failures)
            SELECT seq, $2, $3, $4, $5, $6, $7 FROM ended ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(job).bind(seal.finished_at);
        let query = query.bind(seal.key_id.as_bytes().as_slice()).bind(seal.attestation.as_bytes().as_slice());
        let query = query.bind(to_json("sealed files", &seal.files)?).bind(seal.results).bind(seal.failures);
        Ok(query.execute(&self.pool).await?.rows_affected() == 1)
    }

    /// The seals of a job, newest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.seals", skip(self))]
    pub async fn seals(&self, job: i64) -> Result<Vec<SealRow>, StoreError> {
        let sql = "-- seals
            SELECT finished_at, key_id, attestation, files, results, failures, sealed_at FROM job_seals
            WHERE job_seq = $1 ORDER BY finished_at DESC";
        let rows: Vec<Row> = sqlx::query_as(sql).bind(job).fetch_all(&self.pool).await?;
        let at = Place { table: "job_seals", row: &job };
        let seal = |row: Row| {
            Ok(SealRow {
                finished_at: row.finished_at,
                key_id: at.digest("key_id", &row.key_id)?,
                attestation: at.digest("attestation", &row.attestation)?,
                files: at.json("files", row.files)?,
                results: row.results,
                failures: row.failures,
                sealed_at: row.sealed_at,
            })
        };
        rows.into_iter().map(seal).collect()
    }
}
