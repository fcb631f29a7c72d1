//! Who is logged in to the dashboard. A session allows what its key allows at the moment, and ends with it.

use crate::{ApiKeyRow, Store, StoreError};
use domain::{ApiKeyId, Digest};
use std::time::Duration;
use uuid::Uuid;

impl Store {
    /// Begins a session that ends after `lasts`.
    ///
    /// # Errors
    /// When the database fails or the key is gone.
    #[tracing::instrument(name = "db.begin_session", skip(self, id_sha256))]
    pub async fn begin_session(&self, id_sha256: Digest, key: ApiKeyId, lasts: Duration) -> Result<(), StoreError> {
        let sql = "-- begin_session
            INSERT INTO dashboard_sessions (id_sha256, api_key, expires_at)
            VALUES ($1, $2, now() + make_interval(secs => $3))";
        sqlx::query(sql)
            .bind(id_sha256.as_bytes().as_slice())
            .bind(key.as_uuid())
            .bind(lasts.as_secs_f64())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The key of a session that has not ended. The key itself may have: its row says so.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.session_key", skip_all)]
    pub async fn session_key(&self, id_sha256: Digest) -> Result<Option<ApiKeyRow>, StoreError> {
        let sql = "-- session_key
            SELECT api_key FROM dashboard_sessions WHERE id_sha256 = $1 AND expires_at > now()";
        let key: Option<Uuid> =
            sqlx::query_scalar(sql).bind(id_sha256.as_bytes().as_slice()).fetch_optional(&self.pool).await?;
        match key {
            Some(key) => self.api_key(ApiKeyId::from_uuid(key)).await,
            None => Ok(None),
        }
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.end_session", skip_all)]
    pub async fn end_session(&self, id_sha256: Digest) -> Result<(), StoreError> {
        let sql = "-- end_session\nDELETE FROM dashboard_sessions WHERE id_sha256 = $1";
        sqlx::query(sql).bind(id_sha256.as_bytes().as_slice()).execute(&self.pool).await?;
        Ok(())
    }

    /// Deletes up to `limit` sessions that have ended. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.ended_sessions", skip(self))]
    pub async fn ended_sessions(&self, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- ended_sessions
            DELETE FROM dashboard_sessions WHERE id_sha256 IN (
                SELECT id_sha256 FROM dashboard_sessions WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(limit).execute(&self.pool).await?.rows_affected())
    }
}
