//! API keys and their secrets' digests. Nothing here is secret: who reads these tables can imitate nobody.

use crate::columns::Place;
use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::{ApiKeyId, Digest, ProjectId, Scope};
use std::time::Duration;
use uuid::Uuid;

/// A key as it is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name, for people.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// Name of the only project it is good for; `None` for all.
    pub project: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it last got a new secret.
    pub rotated_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// Whether it has ended by itself, by the database's clock.
    pub expired: bool,
}

impl ApiKeyRow {
    /// True while it lets anyone in.
    pub const fn holds(&self) -> bool {
        !self.expired && self.revoked_at.is_none()
    }
}

/// What a presented key is held against.
#[derive(Clone, Debug)]
pub struct KeyToProve {
    /// The key.
    pub key: ApiKeyRow,
    /// SHA-256 of each secret that it has, the newest first, and whether that secret's overlap is over.
    pub secrets: Vec<(Digest, bool)>,
    /// Whether the last use noted is more than a minute ago.
    pub use_unnoted: bool,
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// The only project it is good for; `None` for all.
    pub project: Option<ProjectId>,
    /// SHA-256 of its secret.
    pub secret_sha256: Digest,
    /// By whom.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    scope: String,
    project: Option<String>,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    rotated_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    expired: bool,
    use_unnoted: bool,
}

impl Row {
    fn read(self) -> Result<(ApiKeyRow, bool), StoreError> {
        let id = ApiKeyId::from_uuid(self.id);
        let scope = Place { table: "api_keys", row: &id }.parse("scope", &self.scope)?;
        let Self { name, project, created_at, created_by, expires_at, last_used_at, rotated_at, .. } = self;
        let (revoked_at, expired) = (self.revoked_at, self.expired);
        let row = ApiKeyRow {
            id,
            name,
            scope,
            project,
            created_at,
            created_by,
            expires_at,
            last_used_at,
            rotated_at,
            revoked_at,
            expired,
        };
        Ok((row, self.use_unnoted))
    }
}

macro_rules! select_keys {
    ($name:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "
            SELECT k.id, k.name, k.scope::text AS scope, p.name AS project, k.created_at, k.created_by, k.expires_at,
                   k.last_used_at, k.rotated_at, k.revoked_at,
                   COALESCE(k.expires_at <= now(), false) AS expired,
                   COALESCE(k.last_used_at < now() - interval '1 minute', true) AS use_unnoted
            FROM api_keys k LEFT JOIN projects p ON p.id = k.project ",
            $rest
        )
    };
}

impl Store {
    /// Makes a key.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.create_api_key", skip_all)]
    pub async fn create_api_key(&self, new: &NewApiKey) -> Result<(), StoreError> {
        self.insert_api_key(new, false).await.map(drop)
    }

    /// Makes the first key of an installation. False, and nothing is made, if there is any already.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.create_first_api_key", skip_all)]
    pub async fn create_first_api_key(&self, new: &NewApiKey) -> Result<bool, StoreError> {
        self.insert_api_key(new, true).await
    }

    async fn insert_api_key(&self, new: &NewApiKey, only_first: bool) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        if only_first {
            // two coordinators that start together make one key
            sqlx::query("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE").execute(&mut *tx).await?;
            let sql = "-- first_api_key\nSELECT EXISTS (SELECT FROM api_keys)";
            if sqlx::query_scalar(sql).fetch_one(&mut *tx).await? {
                return Ok(false);
            }
        }
        let sql = "-- create_api_key
            INSERT INTO api_keys (id, name, scope, project, created_by, expires_at)
            VALUES ($1, $2, $3::text::api_scope, $4, $5, $6)";
        sqlx::query(sql)
            .bind(new.id.as_uuid())
            .bind(&new.name)
            .bind(new.scope.name())
            .bind(new.project.map(|project| project.as_uuid()))
            .bind(&new.created_by)
            .bind(new.expires_at)
            .execute(&mut *tx)
            .await?;
        add_secret(&mut tx, new.id, new.secret_sha256).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Whether there is any key, revoked ones included.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.has_api_keys", skip(self))]
    pub async fn has_api_keys(&self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar("-- has_api_keys\nSELECT EXISTS (SELECT FROM api_keys)").fetch_one(&self.pool).await?)
    }

    /// What a presented key of this id is held against.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.key_to_prove", skip(self))]
    pub async fn key_to_prove(&self, id: ApiKeyId) -> Result<Option<KeyToProve>, StoreError> {
        let sql = select_keys!("key_to_prove", "WHERE k.id = $1");
        let row: Option<Row> = sqlx::query_as(sql).bind(id.as_uuid()).fetch_optional(&self.pool).await?;
        let Some((key, use_unnoted)) = row.map(Row::read).transpose()? else { return Ok(None) };
        let sql = "-- key_to_prove: secrets
            SELECT secret_sha256, COALESCE(valid_until <= now(), false)
            FROM api_key_secrets WHERE api_key = $1 ORDER BY created_at DESC";
        let secrets: Vec<(Vec<u8>, bool)> = sqlx::query_as(sql).bind(id.as_uuid()).fetch_all(&self.pool).await?;
        let place = Place { table: "api_key_secrets", row: &id };
        let read =
            |(digest, over): (Vec<u8>, bool)| Ok::<_, StoreError>((place.digest("secret_sha256", &digest)?, over));
        Ok(Some(KeyToProve { key, secrets: secrets.into_iter().map(read).collect::<Result<_, _>>()?, use_unnoted }))
    }

    /// Notes that the key was used.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.note_key_use", skip(self))]
    pub async fn note_key_use(&self, id: ApiKeyId) -> Result<(), StoreError> {
        // the condition again: of many requests at once one writes
        let sql = "-- note_key_use
            UPDATE api_keys SET last_used_at = now()
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')";
        sqlx::query(sql).bind(id.as_uuid()).execute(&self.pool).await?;
        Ok(())
    }

    /// The key of this id.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.api_key", skip(self))]
    pub async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKeyRow>, StoreError> {
        let sql = select_keys!("api_key", "WHERE k.id = $1");
        let row: Option<Row> = sqlx::query_as(sql).bind(id.as_uuid()).fetch_optional(&self.pool).await?;
        Ok(row.map(Row::read).transpose()?.map(|(key, _)| key))
    }

    /// Keys, newest first, after the key `after`; only those of the projects named, unless that is `None`.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.api_keys", skip(self))]
    pub async fn api_keys(
        &self,
        projects: Option<&[String]>,
        after: Option<ApiKeyId>,
        limit: i64,
    ) -> Result<Vec<ApiKeyRow>, StoreError> {
        // ids are UUIDv7, which grow with time
        let sql = select_keys!(
            "api_keys",
            "WHERE ($1::text[] IS NULL OR p.name = ANY($1)) AND ($2::uuid IS NULL OR k.id < $2)
            ORDER BY k.id DESC LIMIT $3"
        );
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(projects)
            .bind(after.map(|id| id.as_uuid()))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(|row| Ok(row.read()?.0)).collect()
    }

    /// Gives the key another secret. Those it has stay valid for `overlap`, or until their own end where that is sooner, and so do
    /// sessions of the dashboard that were begun with them. False if the key is revoked or gone.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.rotate_api_key", skip(self, secret_sha256))]
    pub async fn rotate_api_key(
        &self,
        id: ApiKeyId,
        secret_sha256: Digest,
        overlap: Duration,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin().await?;
        let sql = "-- rotate_api_key\nUPDATE api_keys SET rotated_at = now() WHERE id = $1 AND revoked_at IS NULL";
        if sqlx::query(sql).bind(id.as_uuid()).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let sql = "-- rotate_api_key: forget\nDELETE FROM api_key_secrets WHERE api_key = $1 AND valid_until < now()";
        sqlx::query(sql).bind(id.as_uuid()).execute(&mut *tx).await?;
        let steps = [
            "-- rotate_api_key: overlap
            UPDATE api_key_secrets
            SET valid_until = LEAST(valid_until, now() + make_interval(secs => $2)) WHERE api_key = $1",
            "-- rotate_api_key: sessions
            UPDATE dashboard_sessions
            SET expires_at = LEAST(expires_at, now() + make_interval(secs => $2)) WHERE api_key = $1",
        ];
        for sql in steps {
            sqlx::query(sql).bind(id.as_uuid()).bind(overlap.as_secs_f64()).execute(&mut *tx).await?;
        }
        add_secret(&mut tx, id, secret_sha256).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes the key back, for good. False if it was taken back before, or is gone.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.revoke_api_key", skip(self))]
    pub async fn revoke_api_key(&self, id: ApiKeyId, by: &str) -> Result<bool, StoreError> {
        let sql = "-- revoke_api_key
            UPDATE api_keys SET revoked_at = now(), revoked_by = $2 WHERE id = $1 AND revoked_at IS NULL";
        Ok(sqlx::query(sql).bind(id.as_uuid()).bind(by).execute(&self.pool).await?.rows_affected() == 1)
    }
}

async fn add_secret(conn: &mut sqlx::PgConnection, key: ApiKeyId, sha256: Digest) -> Result<(), StoreError> {
    let sql = "-- api_key_secret\nINSERT INTO api_key_secrets (api_key, secret_sha256) VALUES ($1, $2)";
    sqlx::query(sql).bind(key.as_uuid()).bind(sha256.as_bytes().as_slice()).execute(conn).await?;
    Ok(())
}
