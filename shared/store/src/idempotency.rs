//! Answers that are kept for a day, so that a request that is sent again is not done again.

use crate::{Store, StoreError};
use domain::Digest;
use std::time::Duration;

/// A request that came with a key.
#[derive(Clone, Copy, Debug)]
pub struct KeyedRequest<'a> {
    /// Who asks.
    pub principal: &'a str,
    /// The key, theirs alone.
    pub key: &'a str,
    /// SHA-256 of what is asked.
    pub sha256: Digest,
}

/// An answer as it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// Media type, where it has a body.
    pub media_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Where a request with a key stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyedState {
    /// Nobody has asked it, or who did was cut off: it is the caller's to do now.
    Begun,
    /// It was done.
    Answered(KeptAnswer),
    /// Another request has the key.
    OtherRequest,
    /// The same request is in work.
    InWork,
}

#[derive(sqlx::FromRow)]
struct KeptRow {
    request_sha256: Vec<u8>,
    status: Option<i16>,
    media_type: Option<String>,
    body: Option<Vec<u8>>,
}

impl Store {
    /// Takes the request on, unless it is done or in work. One that has been in work for longer than `patience` was cut off with its
    /// process, and is taken on again; a key is free again a day after its request began.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.begin_keyed", skip_all)]
    pub async fn begin_keyed(&self, request: KeyedRequest<'_>, patience: Duration) -> Result<KeyedState, StoreError> {
        let take = "-- begin_keyed
            INSERT INTO idempotent_requests AS r (principal, key, request_sha256) VALUES ($1, $2, $3)
            ON CONFLICT (principal, key) DO UPDATE SET request_sha256 = excluded.request_sha256, begun_at = now(), status = NULL,
                media_type = NULL, body = NULL
            WHERE r.begun_at < now() - interval '1 day'
               OR (r.status IS NULL AND r.request_sha256 = excluded.request_sha256
                   AND r.begun_at < now() - make_interval(secs => $4))";
        let KeyedRequest { principal, key, sha256 } = request;
        let query = sqlx::query(take).bind(principal).bind(key).bind(sha256.as_bytes().as_slice());
        if query.bind(patience.as_secs_f64()).execute(&self.pool).await?.rows_affected() == 1 {
            return Ok(KeyedState::Begun);
        }
        let read = "-- begin_keyed: read
            SELECT request_sha256, status, media_type, body FROM idempotent_requests WHERE principal = $1 AND key = $2";
        let row: Option<KeptRow> = sqlx::query_as(read).bind(principal).bind(key).fetch_optional(&self.pool).await?;
        Ok(match row {
            Some(row) if row.request_sha256 != sha256.as_bytes() => KeyedState::OtherRequest,
            Some(KeptRow { status: Some(status), media_type, body: Some(body), .. }) => {
                KeyedState::Answered(KeptAnswer { status: status.cast_unsigned(), media_type, body })
            }
            // in work, or given up just now: the asker comes back in a moment either way
            _ => KeyedState::InWork,
        })
    }

    /// Keeps the answer to a request that was taken on.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.keep_answer", skip_all)]
    pub async fn keep_answer(&self, request: KeyedRequest<'_>, answer: &KeptAnswer) -> Result<(), StoreError> {
        let sql = "-- keep_answer
            UPDATE idempotent_requests SET status = $4, media_type = $5, body = $6
            WHERE principal = $1 AND key = $2 AND request_sha256 = $3 AND status IS NULL";
        sqlx::query(sql)
            .bind(request.principal)
            .bind(request.key)
            .bind(request.sha256.as_bytes().as_slice())
            .bind(answer.status.cast_signed())
            .bind(answer.media_type.as_deref())
            .bind(answer.body.as_slice())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Lets the key of a request go that was taken on and came to nothing.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.release_key", skip_all)]
    pub async fn release_key(&self, request: KeyedRequest<'_>) -> Result<(), StoreError> {
        let sql = "-- release_key
            DELETE FROM idempotent_requests WHERE principal = $1 AND key = $2 AND request_sha256 = $3 AND status IS NULL";
        let query = sqlx::query(sql).bind(request.principal).bind(request.key);
        query.bind(request.sha256.as_bytes().as_slice()).execute(&self.pool).await?;
        Ok(())
    }

    /// Drops up to `limit` answers that are older than a day.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.old_answers", skip(self))]
    pub async fn old_answers(&self, limit: i64) -> Result<u64, StoreError> {
        let sql = "-- old_answers
            DELETE FROM idempotent_requests WHERE (principal, key) IN (
                SELECT principal, key FROM idempotent_requests WHERE begun_at < now() - interval '1 day'
                ORDER BY begun_at LIMIT $1 FOR UPDATE SKIP LOCKED)";
        Ok(sqlx::query(sql).bind(limit).execute(&self.pool).await?.rows_affected())
    }
}
