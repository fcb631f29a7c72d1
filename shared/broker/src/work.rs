//! How a worker takes batches: it asks for one exactly when it has room.
//!
//! A consumer with a prefetch would be pushed batches while the GPU is busy: they would wait unacknowledged in this process,
//! invisible to idle workers and subject to the broker's consumer timeout. So there is no consumer here. [`WorkQueue::next`]
//! asks the class's queues one after the other (`basic.get`), every 5 ms at first and every 500 ms once idle, and is called
//! only by a worker that can take a batch. The delivery is acknowledged as soon as `Started` is confirmed, milliseconds later.

use crate::config::{BrokerConfig, BrokerError};
use crate::link::{Backoff, Link, chain, open_until_it_works};
use crate::outcomes::traceparent;
use crate::reading;
use crate::topology;
use domain::Stage;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicRejectOptions};
use std::time::Duration;
use tokio::time::timeout;
use wire::broker::v1::WorkBatch;

const SHORTEST_POLL: Duration = Duration::from_millis(5);
const LONGEST_POLL: Duration = Duration::from_millis(500);
/// A broker that does not answer a `get` for this long is as good as gone.
const ANSWER: Duration = Duration::from_secs(20);

/// The work queues of one class, asked in turn.
pub struct WorkQueue {
    config: BrokerConfig,
    queues: Vec<String>,
    /// Where the next round begins, so that no stage starves another.
    turn: usize,
    poll: Duration,
    backoff: Backoff,
    link: Option<Link>,
}

impl WorkQueue {
    /// The queues of `class` for every stage. Connects at the first [`WorkQueue::next`].
    pub fn new(config: BrokerConfig, class: &str) -> Self {
        let queues = Stage::ALL.iter().map(|stage| topology::work_queue(*stage, class)).collect();
        Self { config, queues, turn: 0, poll: SHORTEST_POLL, backoff: Backoff::new(), link: None }
    }

    /// The next batch, however long it takes; reconnects by itself.
    ///
    /// May be dropped at any await: a `get` in flight then takes its connection with it, and the broker puts the message back.
    pub async fn next(&mut self) -> Delivery {
        loop {
            let link = match self.link.take() {
                Some(link) if link.is_alive() => link,
                _ => match self.open().await {
                    Ok(link) => link,
                    Err(error) => {
                        tracing::warn!(error = chain(&error), "cannot declare the work queues");
                        self.backoff.pause().await;
                        continue;
                    }
                },
            };
            match self.ask_all(&link).await {
                Ok(found) => {
                    self.link = Some(link);
                    self.backoff.reset();
                    if let Some(delivery) = found {
                        self.poll = SHORTEST_POLL;
                        return delivery;
                    }
                    tokio::time::sleep(self.poll).await;
                    self.poll = (self.poll * 3 / 2).min(LONGEST_POLL);
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the work queue lost RabbitMQ; connecting again");
                    drop(link);
                    self.backoff.pause().await;
                }
            }
        }
    }

    async fn open(&mut self) -> Result<Link, BrokerError> {
        let link = open_until_it_works(&self.config, "work", &mut self.backoff).await;
        for queue in &self.queues {
            topology::declare_work_queue(&link.channel, queue).await?;
        }
        Ok(link)
    }

    async fn ask_all(&mut self, link: &Link) -> Result<Option<Delivery>, BrokerError> {
        for offset in 0..self.queues.len() {
            let at = (self.turn + offset) % self.queues.len();
            let asking = link.channel.basic_get(self.queues[at].as_str().into(), BasicGetOptions { no_ack: false });
            let answer = timeout(ANSWER, asking).await.map_err(|_| BrokerError::ConnectTimeout(ANSWER))?;
            let Some(found) = answer.map_err(BrokerError::Broken)? else { continue };
            self.turn = at + 1;
            let message = found.delivery;
            match reading::read::<WorkBatch>(&message, &self.queues[at]) {
                Ok(batch) => {
                    let traceparent = traceparent(&message);
                    return Ok(Some(Delivery { batch, traceparent, acker: message.acker }));
                }
                Err(_) => {
                    message.reject(BasicRejectOptions { requeue: false }).await.map_err(BrokerError::Broken)?;
                }
            }
        }
        Ok(None)
    }
}

/// A batch that the broker still holds for this process; dropped without [`Delivery::ack`] it stays unacknowledged until the
/// connection ends, and then comes again.
#[derive(Debug)]
pub struct Delivery {
    /// The batch.
    pub batch: WorkBatch,
    /// The trace context it came with.
    pub traceparent: Option<String>,
    acker: Acker,
}

/// The acknowledgement did not reach the broker: the batch will be delivered again, to this worker or another. Its epochs are
/// then no longer `dispatched`, so the second delivery is revoked.
#[derive(Debug, thiserror::Error)]
#[error("the batch could not be acknowledged; it will be delivered again")]
pub struct AckLost(#[source] pub Option<lapin::Error>);

impl Delivery {
    /// Takes the batch out of the broker.
    ///
    /// # Errors
    /// [`AckLost`] when the connection broke in between.
    pub async fn ack(self) -> Result<WorkBatch, AckLost> {
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(self.batch),
            Ok(false) => Err(AckLost(None)),
            Err(error) => Err(AckLost(Some(error))),
        }
    }
}
