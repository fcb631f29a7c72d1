//! Keys that sign, with what verifies their signatures.

use crate::columns::Place;
use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::Digest;

/// A key as verifiers need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicKey {
    /// SHA-256 of the public key's SubjectPublicKeyInfo.
    pub key_id: Digest,
    /// True for a key of the installation's own authority.
    pub own: bool,
    /// Its certificates, PEM, its own first.
    pub certificates: String,
    /// The root that vouches for it, for the installation's own authority.
    pub anchor: Option<String>,
    /// Since when it signs.
    pub created_at: DateTime<Utc>,
    /// When it was replaced.
    pub retired_at: Option<DateTime<Utc>>,
}

/// A key of the installation's own, with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnKey {
    /// SHA-256 of the public key's SubjectPublicKeyInfo.
    pub key_id: Digest,
    /// Its certificates, PEM.
    pub certificates: String,
    /// The root that vouches for it.
    pub anchor: String,
    /// Its private key, PEM (PKCS#8).
    pub private_key: String,
}

/// The authority behind keys of the installation's own.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OwnAuthority {
    /// Its certificate, PEM.
    pub anchor: String,
    /// Its private key, PEM (PKCS#8).
    pub private_key: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    key_id: Vec<u8>,
    origin: String,
    certificates: String,
    anchor: Option<String>,
    created_at: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Every key that ever signed, newest first.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.signing_keys", skip(self))]
    pub async fn signing_keys(&self) -> Result<Vec<PublicKey>, StoreError> {
        let sql = "-- signing_keys
            SELECT key_id, origin, certificates, anchor, created_at, retired_at FROM signing_keys
            ORDER BY created_at DESC, key_id";
        let rows: Vec<Row> = sqlx::query_as(sql).fetch_all(&self.pool).await?;
        let key = |row: Row| {
            let at = Place { table: "signing_keys", row: &row.certificates.len() };
            Ok(PublicKey {
                key_id: at.digest("key_id", &row.key_id)?,
                own: row.origin == "own",
                certificates: row.certificates.clone(),
                anchor: row.anchor,
                created_at: row.created_at,
                retired_at: row.retired_at,
            })
        };
        rows.into_iter().map(key).collect()
    }

    /// Notes that a configured key signs. Safe to repeat.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.note_signing_key", skip_all)]
    pub async fn note_signing_key(&self, key_id: Digest, certificates: &str) -> Result<(), StoreError> {
        let sql = "-- note_signing_key
            INSERT INTO signing_keys (key_id, origin, certificates) VALUES ($1, 'configured', $2) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(key_id.as_bytes().as_slice()).bind(certificates).execute(&self.pool).await?;
        Ok(())
    }

    /// Brings back what verifies the signatures of a key whose secret was lost with its database: it is known, and signs no more. Safe to
    /// repeat.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.restore_signing_key", skip_all)]
    pub async fn restore_signing_key(
        &self,
        key_id: Digest,
        certificates: &str,
        anchor: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "-- restore_signing_key
            INSERT INTO signing_keys (key_id, origin, certificates, anchor, retired_at)
            VALUES ($1, 'configured', $2, $3, now()) ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(key_id.as_bytes().as_slice()).bind(certificates).bind(anchor);
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// The installation's own key that signs now, if it has one.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.own_key", skip(self))]
    pub async fn own_key(&self) -> Result<Option<OwnKey>, StoreError> {
        let sql = "-- own_key
            SELECT key_id, certificates, anchor, private_key FROM signing_keys WHERE origin = 'own' AND retired_at IS NULL";
        let row: Option<(Vec<u8>, String, String, String)> = sqlx::query_as(sql).fetch_optional(&self.pool).await?;
        let Some((key_id, certificates, anchor, private_key)) = row else { return Ok(None) };
        let at = Place { table: "signing_keys", row: &"own" };
        Ok(Some(OwnKey { key_id: at.digest("key_id", &key_id)?, certificates, anchor, private_key }))
    }

    /// Keeps `authority` if the installation has none yet; the one it has.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.own_authority", skip_all)]
    pub async fn own_authority(&self, authority: &OwnAuthority) -> Result<OwnAuthority, StoreError> {
        let sql = "-- own_authority (new)
            INSERT INTO signing_authority (anchor, private_key) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(&authority.anchor).bind(&authority.private_key).execute(&self.pool).await?;
        let sql = "-- own_authority\nSELECT anchor, private_key FROM signing_authority";
        Ok(sqlx::query_as(sql).fetch_one(&self.pool).await?)
    }

    /// Puts `key` in the place of the key `replaces` (none: the installation has none yet), unless another process was quicker. Whether
    /// it signs now.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.replace_own_key", skip_all)]
    pub async fn replace_own_key(&self, key: &OwnKey, replaces: Option<Digest>) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        if let Some(old) = replaces {
            let sql = "-- replace_own_key (retire)
                UPDATE signing_keys SET retired_at = now() WHERE key_id = $1 AND origin = 'own' AND retired_at IS NULL";
            let retired = sqlx::query(sql).bind(old.as_bytes().as_slice()).execute(&mut *tx).await?;
            if retired.rows_affected() == 0 {
                return Ok(false);
            }
        }
        let sql = "-- replace_own_key
            INSERT INTO signing_keys (key_id, origin, certificates, anchor, private_key) VALUES ($1, 'own', $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let query = sqlx::query(sql).bind(key.key_id.as_bytes().as_slice());
        let query = query.bind(&key.certificates).bind(&key.anchor).bind(&key.private_key);
        let new = query.execute(&mut *tx).await?.rows_affected() == 1;
        tx.commit().await?;
        Ok(new)
    }
}
