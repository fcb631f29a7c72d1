//! The outbox: messages that are written with the change they tell of, and published by a relay. Any number of relays may run.

use crate::{Store, StoreError};
use chrono::{DateTime, Utc};
use domain::BatchId;
use serde_json::Value;
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// Where a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OutboxKind {
    /// To one worker.
    Work {
        /// The batch it hands out.
        batch: BatchId,
    },
    /// To every worker.
    Control,
}

/// A message to publish.
#[derive(Clone, PartialEq, Debug)]
pub struct OutboxMessage {
    /// Routing key; empty for a control message.
    pub routing_key: String,
    /// The message.
    pub payload: Value,
    /// Trace it belongs to.
    pub traceparent: Option<String>,
}

/// A message in the outbox.
#[derive(Clone, PartialEq, Debug)]
pub struct OutboxRow {
    /// Its number.
    pub id: i64,
    /// Where it goes.
    pub kind: OutboxKind,
    /// Routing key; empty for a control message.
    pub routing_key: String,
    /// The message.
    pub payload: Value,
    /// Its identity for the broker: the same for every attempt to publish it.
    pub message_id: Uuid,
    /// Trace it belongs to.
    pub traceparent: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// What a pass of the relay did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Relayed {
    /// Messages that were taken.
    pub taken: u64,
    /// Messages whose publication was confirmed, and that are gone from the outbox.
    pub confirmed: u64,
}

/// A publication that takes longer is taken to have failed: a transaction held open keeps vacuum from its work.
const PUBLISH_LIMIT: Duration = Duration::from_secs(10);

type Row = (i64, Option<Uuid>, String, Value, Uuid, Option<String>, DateTime<Utc>);

impl Store {
    /// Takes up to `limit` messages that no other relay has, hands them to `publish`, and deletes those whose ids it returns as
    /// confirmed; the others stay for the next pass. A message may therefore be published twice, never lost.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.relay_slice", skip(self, publish))]
    pub async fn relay_slice<F, Fut>(&self, limit: i64, publish: F) -> Result<Relayed, StoreError>
    where
        F: FnOnce(Vec<OutboxRow>) -> Fut,
        Fut: Future<Output = Vec<i64>>,
    {
        let mut tx = self.pool.begin().await?;
        let sql = "-- relay_slice
            SELECT id, batch, routing_key, payload, message_id, traceparent, created_at
            FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED";
        let rows: Vec<Row> = sqlx::query_as(sql).bind(limit).fetch_all(&mut *tx).await?;
        if rows.is_empty() {
            return Ok(Relayed::default());
        }
        let taken = rows.len() as u64;
        let row = |(id, batch, routing_key, payload, message_id, traceparent, created_at): Row| OutboxRow {
            id,
            kind: batch.map_or(OutboxKind::Control, |batch| OutboxKind::Work { batch: BatchId::from_uuid(batch) }),
            routing_key,
            payload,
            message_id,
            traceparent,
            created_at,
        };
        let publish = publish(rows.into_iter().map(row).collect());
        let confirmed = tokio::time::timeout(PUBLISH_LIMIT, publish).await.unwrap_or_default();
        let sql = "-- relay_slice: confirmed\nDELETE FROM outbox WHERE id = ANY($1)";
        let deleted = sqlx::query(sql).bind(&confirmed).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(Relayed { taken, confirmed: deleted })
    }

    /// Writes a control message on its own, for example a revocation.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.send_control", skip_all)]
    pub async fn send_control(&self, message: &OutboxMessage) -> Result<(), StoreError> {
        let mut conn = self.pool.acquire().await?;
        insert(&mut conn, OutboxKind::Control, message).await
    }

    /// How many work messages wait, counted up to `most`: what back-pressure looks at.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.unsent", skip(self))]
    pub async fn unsent(&self, most: i64) -> Result<i64, StoreError> {
        let sql = "-- unsent
            SELECT count(*) FROM (SELECT FROM outbox WHERE kind = 'work' LIMIT $1) AS waiting";
        Ok(sqlx::query_scalar(sql).bind(most).fetch_one(&self.pool).await?)
    }

    /// How many messages wait, and since when the oldest does.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(name = "db.outbox_depth", skip(self))]
    pub async fn outbox_depth(&self) -> Result<(i64, Option<DateTime<Utc>>), StoreError> {
        let sql = "-- outbox_depth\nSELECT count(*), min(created_at) FROM outbox";
        Ok(sqlx::query_as(sql).fetch_one(&self.pool).await?)
    }
}

pub(crate) async fn insert(
    conn: &mut PgConnection,
    kind: OutboxKind,
    message: &OutboxMessage,
) -> Result<(), StoreError> {
    let sql = "-- outbox
        INSERT INTO outbox (kind, batch, routing_key, payload, message_id, traceparent)
        VALUES (CASE WHEN $1::uuid IS NULL THEN 'control' ELSE 'work' END::outbox_kind, $1, $2, $3, $4, $5)";
    let batch = match kind {
        OutboxKind::Work { batch } => Some(batch.as_uuid()),
        OutboxKind::Control => None,
    };
    sqlx::query(sql)
        .bind(batch)
        .bind(&message.routing_key)
        .bind(&message.payload)
        .bind(Uuid::now_v7())
        .bind(&message.traceparent)
        .execute(conn)
        .await?;
    Ok(())
}
