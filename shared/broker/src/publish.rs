//! The confirmed publisher.
//!
//! One task owns the connection. It takes what callers have queued, up to [`PIPELINE`] messages, writes them all, and waits for
//! all their confirms before it takes more. The barrier is what makes returns attributable: RabbitMQ confirms an unroutable
//! message *and* returns it, and lapin attaches a returned message to whichever confirm it resolves next, so under pipelining
//! the return may sit on a neighbour's confirm. A message therefore failed if its own `message_id` is among *all* the returns
//! of its round, and succeeded if it is not.
//!
//! A broker that blocks publishers (memory or disk alarm) makes callers wait; that is back-pressure and not a failure.

use crate::config::{BrokerConfig, BrokerError};
use crate::link::{Backoff, Link, chain};
use crate::reading::MOST_BYTES;
use crate::topology;
use crate::uptime::Uptime;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

/// Messages in flight at most.
const PIPELINE: usize = 256;
/// For how long after connecting a refused message is taken for one whose queue has no leader yet, and is sent again.
const ELECTION: Duration = Duration::from_secs(5);
const ELECTION_PAUSE: Duration = Duration::from_millis(100);
const ELECTION_TRIES: u32 = 20;
/// How often an idle publisher looks whether its connection still lives.
const LOOK: Duration = Duration::from_secs(1);

/// A message to publish.
#[derive(Clone, Debug)]
pub struct Message {
    /// The exchange; `""` is the default one, which routes by queue name.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The body: JSON.
    pub payload: Vec<u8>,
    /// Identity of the message, also for telling returned ones apart.
    pub message_id: Uuid,
    /// W3C trace context of whoever caused it.
    pub traceparent: Option<String>,
    /// Whether having no receiver is a failure.
    mandatory: bool,
}

impl Message {
    /// A batch for the queue that [`topology::work_queue`] names.
    pub fn work(queue: impl Into<String>, payload: Vec<u8>, message_id: Uuid) -> Self {
        Self {
            exchange: topology::WORK.to_owned(),
            routing_key: queue.into(),
            payload,
            message_id,
            traceparent: None,
            mandatory: true,
        }
    }

    /// What a worker says to the coordinators.
    pub fn outcome(payload: Vec<u8>) -> Self {
        Self::to_queue(topology::OUTCOMES.to_owned(), payload)
    }

    /// What every worker must hear. That nobody listens is no failure: a worker that is not connected is told again in answer to
    /// its next heartbeat.
    pub fn control(payload: Vec<u8>, message_id: Uuid) -> Self {
        Self {
            exchange: topology::CONTROL.to_owned(),
            routing_key: String::new(),
            payload,
            message_id,
            traceparent: None,
            mandatory: false,
        }
    }

    /// A request for a signature.
    pub fn sign_request(payload: Vec<u8>) -> Self {
        Self::to_queue(topology::SIGN.to_owned(), payload)
    }

    /// A message to one worker's control queue: unroutable if its connection is gone.
    pub fn to_worker(control_queue: impl Into<String>, payload: Vec<u8>) -> Self {
        Self::to_queue(control_queue.into(), payload)
    }

    /// Through the default exchange, which routes by queue name.
    fn to_queue(queue: String, payload: Vec<u8>) -> Self {
        Self {
            exchange: String::new(),
            routing_key: queue,
            payload,
            message_id: Uuid::now_v7(),
            traceparent: None,
            mandatory: true,
        }
    }

    /// Where it goes: its exchange, or the queue that the default exchange routes it to.
    pub fn destination(&self) -> &str {
        if self.exchange.is_empty() { &self.routing_key } else { &self.exchange }
    }

    /// The same with a trace context.
    #[must_use]
    pub fn traced(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent;
        self
    }
}

/// Why a message does not count as sent. After [`PublishError::Unconfirmed`] it may have arrived all the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// No queue is bound for it.
    #[error("RabbitMQ has no queue for exchange '{exchange}' and routing key '{routing_key}'")]
    Unroutable {
        /// The exchange.
        exchange: String,
        /// The routing key.
        routing_key: String,
    },
    /// The broker refused it: the queue is full, or it could not be written down.
    #[error("RabbitMQ refused the message for '{routing_key}' (queue full, or not written down); try again later")]
    Refused {
        /// The routing key.
        routing_key: String,
    },
    /// No confirm came in time, or the connection broke before it did.
    #[error("RabbitMQ did not confirm the message ({0}); it may have arrived")]
    Unconfirmed(String),
    /// It is larger than a message may be; to repeat does not help.
    #[error("the message for '{routing_key}' has {bytes} bytes, and the limit is {MOST_BYTES}")]
    TooLarge {
        /// The routing key.
        routing_key: String,
        /// Its size.
        bytes: usize,
    },
    /// There was no connection to send it on.
    #[error("RabbitMQ is away: {0}")]
    Unavailable(String),
    /// The publisher was shut down.
    #[error("the publisher has ended")]
    Closed,
}

type Reply = oneshot::Sender<Result<(), PublishError>>;

/// A cheap handle to the publishing task; the task ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Publisher {
    queue: mpsc::Sender<(Message, Reply)>,
    connected: Uptime,
    blocked: Arc<AtomicBool>,
}

impl Publisher {
    /// Starts the publishing task, which connects by itself and keeps connected. Must be called on a tokio runtime.
    pub fn start(config: BrokerConfig) -> Self {
        let (queue, requests) = mpsc::channel(4 * PIPELINE);
        let (connected, blocked) = (Uptime::default(), Arc::new(AtomicBool::new(false)));
        let shared = (connected.clone(), Arc::clone(&blocked));
        let lane = Lane { config, link: None, declared: HashSet::new(), connected: shared.0, blocked: shared.1 };
        tokio::spawn(lane.run(requests));
        Self { queue, connected, blocked }
    }

    /// Whether the connection was up when last looked at, for readiness checks.
    pub fn is_connected(&self) -> bool {
        self.connected_for().is_some()
    }

    /// Whether there has been a connection since the start.
    pub fn has_been_connected(&self) -> bool {
        self.connected.has_been_up()
    }

    /// For how long the present connection has been up, if there is one.
    pub fn connected_for(&self) -> Option<Duration> {
        self.connected.get()
    }

    /// Whether the broker blocked publishers when last looked at: messages wait until its memory or disk alarm ends.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// Publishes one message and waits for its confirm.
    ///
    /// # Errors
    /// [`PublishError`]; to repeat is always safe, and helps unless it is [`PublishError::TooLarge`].
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send((message, reply)).await.map_err(|_| PublishError::Closed)?;
        answer.await.unwrap_or(Err(PublishError::Closed))
    }

    /// Publishes many, pipelined; one result per message, in order.
    pub async fn publish_many(&self, messages: Vec<Message>) -> Vec<Result<(), PublishError>> {
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            let (reply, answer) = oneshot::channel();
            let queued = self.queue.send((message, reply)).await;
            answers.push(queued.map(|()| answer));
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(PublishError::Closed)),
                Err(_) => Err(PublishError::Closed),
            });
        }
        results
    }
}

/// The publishing task's state.
struct Lane {
    config: BrokerConfig,
    link: Option<Link>,
    /// Class queues declared on the present connection.
    declared: HashSet<String>,
    connected: Uptime,
    blocked: Arc<AtomicBool>,
}

impl Lane {
    async fn run(mut self, mut requests: mpsc::Receiver<(Message, Reply)>) {
        let mut round = Vec::with_capacity(PIPELINE);
        loop {
            tokio::select! {
                taken = requests.recv_many(&mut round, PIPELINE) => {
                    if taken == 0 {
                        break;
                    }
                    self.send_round(std::mem::take(&mut round)).await;
                }
                () = tokio::time::sleep(LOOK) => {
                    if let Err(error) = self.ensure_link().await {
                        tracing::debug!(error = chain(&error), "the publisher has no connection");
                    }
                    self.note_blocked();
                }
            }
        }
        if let Some(link) = self.link.take() {
            // Everything was confirmed or given up; a close that fails changes nothing.
            let _ = link.connection.close(200, "done".into()).await;
        }
    }

    /// Keeps the present connection if it lives, else opens a new one.
    async fn ensure_link(&mut self) -> Result<(), BrokerError> {
        if self.link.as_ref().is_some_and(|link| !link.is_alive()) {
            tracing::warn!("the publisher's connection to RabbitMQ broke");
            self.drop_link();
        }
        if self.link.is_none() {
            let link = Link::open(&self.config, "publishing").await?;
            link.channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(BrokerError::Broken)?;
            self.link = Some(link);
            self.connected.set(true);
        }
        Ok(())
    }

    fn note_blocked(&self) {
        let blocked = self.link.as_ref().is_some_and(|link| link.connection.status().blocked());
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    fn drop_link(&mut self) {
        self.link = None;
        self.declared.clear();
        self.connected.set(false);
    }

    /// Tries for as long as a confirm may take: callers whose broker restarts are served, and none waits for ever.
    async fn link_in_time(&mut self) -> Result<(), PublishError> {
        let deadline = tokio::time::Instant::now() + self.config.confirm_timeout;
        let mut backoff = Backoff::new();
        loop {
            let error = match self.ensure_link().await {
                Ok(()) => return Ok(()),
                Err(error) => chain(&error),
            };
            if timeout(deadline.saturating_duration_since(tokio::time::Instant::now()), backoff.pause()).await.is_err()
            {
                return Err(PublishError::Unavailable(error));
            }
        }
    }

    async fn send_round(&mut self, round: Vec<(Message, Reply)>) {
        let (messages, replies): (Vec<_>, Vec<_>) = round.into_iter().unzip();
        let mut results = self.publish_round(&messages).await;
        // A class queue that was deleted behind our back (a wiped broker) is declared again, once.
        let lost: Vec<usize> = (0..messages.len())
            .filter(|i| {
                messages[*i].exchange == topology::WORK && matches!(results[*i], Err(PublishError::Unroutable { .. }))
            })
            .collect();
        if !lost.is_empty() {
            for index in &lost {
                self.declared.remove(&messages[*index].routing_key);
            }
            self.publish_again(&messages, lost, &mut results).await;
        }
        // A queue that was declared a moment ago refuses messages until it has elected its leader.
        for _ in 0..ELECTION_TRIES {
            let refused = |i: &usize| matches!(results[*i], Err(PublishError::Refused { .. }));
            let refused: Vec<usize> = (0..messages.len()).filter(refused).collect();
            if refused.is_empty() || self.connected.get().is_none_or(|time| time > ELECTION) {
                break;
            }
            tokio::time::sleep(ELECTION_PAUSE).await;
            self.publish_again(&messages, refused, &mut results).await;
        }
        for (reply, result) in replies.into_iter().zip(results) {
            // A caller that went away does not need its answer.
            let _ = reply.send(result);
        }
    }

    /// Publishes those of a round once more, in its order.
    async fn publish_again(
        &mut self,
        messages: &[Message],
        which: Vec<usize>,
        results: &mut [Result<(), PublishError>],
    ) {
        let again: Vec<Message> = which.iter().map(|i| messages[*i].clone()).collect();
        for (index, result) in which.into_iter().zip(self.publish_round(&again).await) {
            results[index] = result;
        }
    }

    async fn publish_round(&mut self, messages: &[Message]) -> Vec<Result<(), PublishError>> {
        if let Err(error) = self.link_in_time().await {
            return messages.iter().map(|_| Err(error.clone())).collect();
        }
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            confirms.push(self.write(message).await);
        }
        let mut returned = HashSet::new();
        let mut results = Vec::with_capacity(messages.len());
        for (message, confirm) in messages.iter().zip(confirms) {
            results.push(match confirm {
                Ok(confirm) => self.confirmed(message, confirm, &mut returned).await,
                Err(error) => Err(error),
            });
        }
        for (message, result) in messages.iter().zip(&mut results) {
            if returned.contains(&message.message_id.to_string()) {
                let (exchange, routing_key) = (message.exchange.clone(), message.routing_key.clone());
                *result = Err(PublishError::Unroutable { exchange, routing_key });
            }
        }
        if results.iter().any(|r| matches!(r, Err(PublishError::Unconfirmed(_)))) {
            // A late confirm must not be taken for one of the next round.
            self.drop_link();
        }
        results
    }

    /// Writes a message to the connection; its confirm is still to come.
    async fn write(&mut self, message: &Message) -> Result<PublisherConfirm, PublishError> {
        if message.payload.len() > MOST_BYTES {
            let (routing_key, bytes) = (message.routing_key.clone(), message.payload.len());
            return Err(PublishError::TooLarge { routing_key, bytes });
        }
        let unconfirmed = |text: String| PublishError::Unconfirmed(text);
        let Some(link) = &self.link else { return Err(unconfirmed("the connection broke".to_owned())) };
        if message.exchange == topology::WORK && !self.declared.contains(&message.routing_key) {
            let declaring = topology::declare_work_queue(&link.channel, &message.routing_key);
            let patience = Patience { left: self.config.confirm_timeout, link, blocked: &self.blocked };
            patience.wait(declaring).await?.map_err(|e| unconfirmed(chain(&e)))?;
            self.declared.insert(message.routing_key.clone());
        }
        let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let (exchange, key) = (message.exchange.as_str().into(), message.routing_key.as_str().into());
        let publishing = link.channel.basic_publish(exchange, key, options, &message.payload, properties(message));
        let patience = Patience { left: self.config.confirm_timeout, link, blocked: &self.blocked };
        patience.wait(publishing).await?.map_err(|e| unconfirmed(chain(&e)))
    }

    async fn confirmed(
        &self,
        message: &Message,
        confirm: PublisherConfirm,
        returned: &mut HashSet<String>,
    ) -> Result<(), PublishError> {
        let unconfirmed = |text: &str| PublishError::Unconfirmed(text.to_owned());
        let Some(link) = &self.link else { return Err(unconfirmed("the connection broke")) };
        let patience = Patience { left: self.config.confirm_timeout, link, blocked: &self.blocked };
        let confirmation = patience.wait(confirm).await?.map_err(|e| unconfirmed(&chain(&e)))?;
        let accepted = confirmation.is_ack();
        if confirmation == Confirmation::NotRequested {
            return Err(unconfirmed("the channel gives no confirms"));
        }
        if let Some(back) = confirmation.take_message()
            && let Some(id) = back.properties.message_id()
        {
            returned.insert(id.to_string());
        }
        if accepted { Ok(()) } else { Err(PublishError::Refused { routing_key: message.routing_key.clone() }) }
    }
}

fn properties(message: &Message) -> BasicProperties {
    const PERSISTENT: u8 = 2;
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_type(crate::reading::VERSION.into())
        .with_message_id(message.message_id.to_string().into());
    if let Some(traceparent) = &message.traceparent {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongString(traceparent.as_str().into()));
        properties = properties.with_headers(headers);
    }
    properties
}

/// A time limit that stands still while the broker blocks publishers.
struct Patience<'a> {
    left: Duration,
    link: &'a Link,
    blocked: &'a AtomicBool,
}

impl Patience<'_> {
    async fn wait<F: Future>(mut self, future: F) -> Result<F::Output, PublishError> {
        const STEP: Duration = Duration::from_millis(250);
        let mut future = std::pin::pin!(future);
        loop {
            if let Ok(output) = timeout(STEP.min(self.left), &mut future).await {
                self.blocked.store(self.link.connection.status().blocked(), Ordering::Relaxed);
                return Ok(output);
            }
            let blocked = self.link.connection.status().blocked();
            self.blocked.store(blocked, Ordering::Relaxed);
            if !blocked {
                self.left = self.left.saturating_sub(STEP);
            }
            if self.left.is_zero() {
                return Err(PublishError::Unconfirmed("no answer in time".to_owned()));
            }
        }
    }
}
