//! The coordinator's ears: consume `cfx.outcomes` and `cfx.sign` for as long as the process lives.

use crate::config::{BrokerConfig, BrokerError};
use crate::link::{Backoff, Link, chain, open_until_it_works};
use crate::reading;
use crate::topology;
use crate::uptime::Uptime;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wire::broker::v1::{FromWorker, SignRequest};

/// How long a message rests before it goes back to the queue: the database is away, and asking faster does not help.
const REST: Duration = Duration::from_secs(1);
/// How often the connection is looked at when nothing comes.
const LOOK: Duration = Duration::from_secs(5);

/// What the handler made of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Dealt with, also when it changed nothing because it was late or doubled.
    Ack,
    /// The surroundings failed (no database): deliver it again, to this process or another.
    Requeue,
}

/// Consumes what workers say until `stop` is cancelled, handling up to `prefetch` messages at once. Reconnects by itself.
///
/// `listening` tells for how long it has been consuming. `handler` gets the message and the trace context it came with. A message that cannot be read is dead-lettered to
/// [`topology::DEAD`], counted, and logged as an error. Messages in hand when `stop` comes are finished first.
pub async fn consume_outcomes<H, F>(
    config: BrokerConfig,
    prefetch: u16,
    stop: CancellationToken,
    listening: Uptime,
    handler: H,
) where
    H: Fn(FromWorker, Option<String>) -> F,
    F: Future<Output = Verdict>,
{
    supervise(config, topology::OUTCOMES, prefetch, stop, listening, handler).await;
}

/// Consumes requests for signatures, in the same way.
pub async fn consume_sign_requests<H, F>(config: BrokerConfig, prefetch: u16, stop: CancellationToken, handler: H)
where
    H: Fn(SignRequest) -> F,
    F: Future<Output = Verdict>,
{
    let handler = |request, _trace| handler(request);
    supervise(config, topology::SIGN, prefetch, stop, Uptime::default(), handler).await;
}

async fn supervise<M, H, F>(
    config: BrokerConfig,
    queue: &'static str,
    prefetch: u16,
    stop: CancellationToken,
    listening: Uptime,
    handler: H,
) where
    M: DeserializeOwned,
    H: Fn(M, Option<String>) -> F,
    F: Future<Output = Verdict>,
{
    let mut backoff = Backoff::new();
    loop {
        let link = tokio::select! {
            link = open_until_it_works(&config, queue, &mut backoff) => link,
            () = stop.cancelled() => return,
        };
        let began = tokio::time::Instant::now();
        let consumed = consume(&link, queue, prefetch, &stop, &listening, &handler).await;
        listening.set(false);
        match consumed {
            Ok(()) => {
                // Everything in hand is acknowledged; a close that fails changes nothing.
                let _ = link.connection.close(200, "done".into()).await;
                return;
            }
            Err(error) => {
                tracing::warn!(queue, error = chain(&error), "a consumer lost RabbitMQ; connecting again")
            }
        }
        if began.elapsed() > LOOK {
            backoff.reset();
        }
        tokio::select! { () = backoff.pause() => {}, () = stop.cancelled() => return }
    }
}

/// Consumes on one connection; `Ok` when told to stop, an error when the connection, channel or consumer has ended.
async fn consume<M, H, F>(
    link: &Link,
    queue: &'static str,
    prefetch: u16,
    stop: &CancellationToken,
    listening: &Uptime,
    handler: &H,
) -> Result<(), BrokerError>
where
    M: DeserializeOwned,
    H: Fn(M, Option<String>) -> F,
    F: Future<Output = Verdict>,
{
    link.channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(BrokerError::Broken)?;
    let tag = "".into();
    let consuming =
        link.channel.basic_consume(queue.into(), tag, BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consuming.await.map_err(BrokerError::Broken)?;
    listening.set(true);
    let mut in_hand = FuturesUnordered::new();
    loop {
        tokio::select! {
            // The broker sends no more than `prefetch` unacknowledged, so this set is bounded.
            next = consumer.next() => match next {
                Some(Ok(delivery)) => in_hand.push(handle(delivery, queue, handler)),
                Some(Err(error)) => return Err(BrokerError::Broken(error)),
                None => return Err(BrokerError::Cancelled(queue.to_owned())),
            },
            Some(settled) = in_hand.next() => settled?,
            () = stop.cancelled() => break,
            () = tokio::time::sleep(LOOK) => {
                if !link.is_alive() {
                    return Err(BrokerError::Cancelled(queue.to_owned()));
                }
            }
        }
    }
    while let Some(settled) = in_hand.next().await {
        settled?;
    }
    Ok(())
}

async fn handle<M, H, F>(delivery: Delivery, queue: &'static str, handler: &H) -> Result<(), BrokerError>
where
    M: DeserializeOwned,
    H: Fn(M, Option<String>) -> F,
    F: Future<Output = Verdict>,
{
    let settled = match reading::read::<M>(&delivery, queue) {
        Ok(message) => match handler(message, traceparent(&delivery)).await {
            Verdict::Ack => delivery.ack(BasicAckOptions::default()).await,
            Verdict::Requeue => {
                tokio::time::sleep(REST).await;
                delivery.nack(BasicNackOptions { multiple: false, requeue: true }).await
            }
        },
        Err(_) => delivery.reject(BasicRejectOptions { requeue: false }).await,
    };
    match settled {
        Ok(true) => Ok(()),
        // The channel ended under it. The message comes again and changes nothing; the stream reports the end itself.
        Ok(false) => {
            tracing::warn!("a handled outcome could not be acknowledged; it will come again");
            Ok(())
        }
        Err(error) => Err(BrokerError::Broken(error)),
    }
}

/// The trace context a message came with.
pub(crate) fn traceparent(delivery: &Delivery) -> Option<String> {
    match delivery.properties.headers().as_ref()?.inner().get("traceparent")? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}
