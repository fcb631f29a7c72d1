//! Every exchange and queue, in one place. Declaring is idempotent: whoever connects declares what it needs.
//!
//! | name | kind | holds |
//! |---|---|---|
//! | `cfx.work` | direct exchange | batches, routed by the queue's own name |
//! | `cfx.work.<stage>.<class>` | quorum queue | batches for workers of that class |
//! | `cfx.outcomes` | quorum queue (default exchange) | what workers say |
//! | `cfx.sign` | quorum queue (default exchange) | requests for signatures, for half a minute |
//! | `cfx.control` | fanout exchange | what every worker must hear |
//! | `cfx.control.<id>` | exclusive queue | the same, for one connection of one worker |
//! | `cfx.dead` | fanout exchange and quorum queue | malformed messages, kept for people; nothing is retried from here |
//!
//! All quorum queues carry an explicit delivery limit: without one, RabbitMQ 3.10 has none and 4.x drops a message after 20
//! returns, and an outage of the database must not cost a message on either. Retry timers live in Postgres, so no queue
//! has a time to live but `cfx.sign`: whoever waits for a signature asks again.

use crate::config::BrokerError;
use domain::Stage;
use lapin::Channel;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use uuid::Uuid;

/// Direct exchange for batches.
pub const WORK: &str = "cfx.work";
/// Quorum queue for what workers say; published through the default exchange `""`.
pub const OUTCOMES: &str = "cfx.outcomes";
/// Quorum queue for requests for signatures.
pub const SIGN: &str = "cfx.sign";
/// Fanout exchange that every worker listens to.
pub const CONTROL: &str = "cfx.control";
/// Dead-letter exchange, and the queue behind it.
pub const DEAD: &str = "cfx.dead";

/// Batches that may wait in one work queue; the dispatcher's window is far smaller, so reaching it means a fault upstream, and
/// the publisher is refused rather than the broker filled.
const WORK_LIMIT: i64 = 10_000;
/// Outcomes that may wait while no coordinator runs. Workers are refused beyond it and keep their outcomes until confirmed.
const OUTCOMES_LIMIT: i64 = 1_000_000;
/// Requests for signatures that may wait; a worker asks for one an image.
const SIGN_LIMIT: i64 = 10_000;
/// Milliseconds after which nobody waits for the signature any more.
const SIGN_TTL: i64 = 30_000;
/// Malformed messages kept; the oldest go first.
const DEAD_LIMIT: i64 = 10_000;
/// At one return a second this is eleven days of outage.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// The queue for batches of `stage` that workers of `class` take, and the routing key that leads there.
pub fn work_queue(stage: Stage, class: &str) -> String {
    format!("{WORK}.{stage}.{class}")
}

fn quorum(max_length: i64, full: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(max_length));
    arguments.insert("x-overflow".into(), AMQPValue::LongString(full.into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

fn with_dead_letters(mut arguments: FieldTable) -> FieldTable {
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString(DEAD.into()));
    arguments
}

/// Everything but the class queues.
pub(crate) async fn declare_base(channel: &Channel) -> Result<(), BrokerError> {
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    for (name, kind) in [(WORK, ExchangeKind::Direct), (CONTROL, ExchangeKind::Fanout), (DEAD, ExchangeKind::Fanout)] {
        let declared = channel.exchange_declare(name.into(), kind, durable, FieldTable::default()).await;
        declared.map_err(|e| BrokerError::declare(name, e))?;
    }
    declare_queue(channel, DEAD, quorum(DEAD_LIMIT, "drop-head")).await?;
    bind(channel, DEAD, DEAD, "").await?;
    // not dead-lettered: a request that nobody answered in time is no mistake
    let mut sign = quorum(SIGN_LIMIT, "reject-publish");
    sign.insert("x-message-ttl".into(), AMQPValue::LongLongInt(SIGN_TTL));
    declare_queue(channel, SIGN, sign).await?;
    declare_queue(channel, OUTCOMES, with_dead_letters(quorum(OUTCOMES_LIMIT, "reject-publish"))).await
}

/// One class queue, bound to the work exchange under its own name.
pub(crate) async fn declare_work_queue(channel: &Channel, queue: &str) -> Result<(), BrokerError> {
    declare_queue(channel, queue, with_dead_letters(quorum(WORK_LIMIT, "reject-publish"))).await?;
    bind(channel, queue, WORK, queue).await
}

/// A queue of this connection only, which hears everything said on the control exchange; returns its name. A new name each time:
/// the broker may not know yet that the connection before is gone, and then still has its queue.
pub(crate) async fn declare_control_queue(channel: &Channel) -> Result<String, BrokerError> {
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
    let name = format!("{CONTROL}.{}", Uuid::now_v7());
    let declared = channel.queue_declare(name.as_str().into(), own, FieldTable::default()).await;
    declared.map_err(|e| BrokerError::declare(&name, e))?;
    bind(channel, &name, CONTROL, "").await?;
    Ok(name)
}

/// Whether this can be the name of a worker's control queue: what a worker says is not to lead a probe into another queue.
pub fn is_control_queue(name: &str) -> bool {
    let id = name.strip_prefix(CONTROL).and_then(|rest| rest.strip_prefix('.'));
    id.is_some_and(|id| Uuid::try_parse(id).is_ok())
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.queue_declare(name.into(), durable, arguments).await;
    declared.map(drop).map_err(|e| BrokerError::declare(name, e))
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), BrokerError> {
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await;
    bound.map_err(|e| BrokerError::declare(queue, e))
}
