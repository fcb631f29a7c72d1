//! Signed forms of what records name beside their outputs.

use crate::columns::Place;
use crate::{Store, StoreError};
use domain::Digest;

/// A companion that has been signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompanionRow {
    /// The file, as records name it.
    pub artifact: Digest,
    /// The object that came of it: a picture with its credential inside, of another file the credential alone.
    pub signed: Digest,
    /// The record that the credential names.
    pub record: Digest,
    /// The key that signed.
    pub key_id: Digest,
}

impl Store {
    /// The signed form of `artifact` as a `kind`, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.companion", skip(self))]
    pub async fn companion(&self, artifact: Digest, kind: &str) -> Result<Option<CompanionRow>, StoreError> {
        let sql = "-- companion
            SELECT signed, record, key_id FROM companions WHERE artifact = $1 AND kind = $2";
        let query = sqlx::query_as(sql).bind(artifact.as_bytes().as_slice()).bind(kind);
        let row: Option<(Vec<u8>, Vec<u8>, Vec<u8>)> = query.fetch_optional(&self.pool).await?;
        row.map(|row| read(artifact, &row)).transpose()
    }

    /// Keeps a signed form. The one that is kept from now on: another process may have been first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.keep_companion", skip(self, row))]
    pub async fn keep_companion(&self, kind: &str, row: &CompanionRow) -> Result<CompanionRow, StoreError> {
        // an update that changes nothing returns the row that was there
        let sql = "-- keep_companion
            INSERT INTO companions (artifact, kind, signed, record, key_id) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (artifact, kind) DO UPDATE SET kind = companions.kind
            RETURNING signed, record, key_id";
        let query = sqlx::query_as(sql).bind(row.artifact.as_bytes().as_slice()).bind(kind);
        let query = query.bind(row.signed.as_bytes().as_slice()).bind(row.record.as_bytes().as_slice());
        let kept = query.bind(row.key_id.as_bytes().as_slice()).fetch_one(&self.pool).await?;
        read(row.artifact, &kept)
    }
}

fn read(artifact: Digest, (signed, record, key_id): &(Vec<u8>, Vec<u8>, Vec<u8>)) -> Result<CompanionRow, StoreError> {
    let at = Place { table: "companions", row: &artifact };
    Ok(CompanionRow {
        artifact,
        signed: at.digest("signed", signed)?,
        record: at.digest("record", record)?,
        key_id: at.digest("key_id", key_id)?,
    })
}
