//! The relay: takes messages from the outbox, publishes them with confirms, and deletes those that are confirmed. Any number
//! of relays may run; a message may be published twice, never lost.

use crate::app::App;
use crate::error::LoopError;
use crate::sweep::Reconciler;
use broker::{Message, PublishError};
use store::{OutboxKind, OutboxRow};

/// Messages of one pass.
const SLICE: i64 = 200;

/// The loop's body.
pub struct Relay {
    /// What it works with.
    pub app: App,
}

impl Reconciler for Relay {
    const NAME: &'static str = "relay";
    const EAGER: bool = true;

    async fn run_once(&self) -> Result<u64, LoopError> {
        // Taking rows only to give them back holds a transaction open for nothing: without a connection they stay where they are.
        // A broker that blocks publishers would only have them queued up in this process, once more at every pass.
        if !self.app.publisher.is_connected() || self.app.publisher.is_blocked() {
            return Ok(0);
        }
        let relayed = self.app.store.relay_slice(SLICE, |rows| self.publish(rows)).await?;
        Ok(relayed.confirmed)
    }
}

impl Relay {
    /// Publishes the rows; the ids of those that are confirmed. What is not stays in the outbox for the next pass.
    async fn publish(&self, rows: Vec<OutboxRow>) -> Vec<i64> {
        let mut ids = Vec::with_capacity(rows.len());
        let mut messages = Vec::with_capacity(rows.len());
        // open until the broker has confirmed
        let mut spans = Vec::new();
        for row in rows {
            let payload = row.payload.to_string().into_bytes();
            let message = match row.kind {
                OutboxKind::Work { .. } => Message::work(row.routing_key, payload, row.message_id),
                OutboxKind::Control => Message::control(payload, row.message_id),
            };
            ids.push(row.id);
            let traceparent = row.traceparent.map(|cause| {
                let span = telemetry::traces::sending(message.destination(), Some(&cause));
                let own = telemetry::traces::context(&span);
                spans.push(span);
                own.unwrap_or(cause)
            });
            messages.push(message.traced(traceparent));
        }
        let mut confirmed = Vec::with_capacity(ids.len());
        for (id, result) in ids.into_iter().zip(self.app.publisher.publish_many(messages).await) {
            match result {
                Ok(()) => confirmed.push(id),
                Err(error) => refused(id, &error),
            }
        }
        drop(spans);
        telemetry::crash_point("o.after_confirm");
        metrics::counter!("cfx_published_total").increment(confirmed.len() as u64);
        confirmed
    }
}

fn refused(id: i64, error: &PublishError) {
    let kind = match error {
        PublishError::Unroutable { .. } => "unroutable",
        PublishError::Refused { .. } => "refused",
        PublishError::TooLarge { .. } => "too_large",
        PublishError::Unconfirmed(_) => "unconfirmed",
        PublishError::Unavailable(_) | PublishError::Closed => "unavailable",
    };
    metrics::counter!("cfx_publish_failures_total", "kind" => kind).increment(1);
    tracing::warn!(outbox = id, %error, "a message was not published and stays in the outbox");
}
