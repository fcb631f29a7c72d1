//! A worker's ear for what concerns every worker.

use crate::config::{BrokerConfig, BrokerError};
use crate::link::{Backoff, Link, chain, open_until_it_works};
use crate::reading;
use crate::topology;
use futures_util::StreamExt;
use lapin::Consumer;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use std::time::Duration;
use tokio::sync::watch;
use wire::broker::v1::Control;

/// How often the connection is looked at when nothing comes.
const LOOK: Duration = Duration::from_secs(5);

/// An exclusive, self-deleting queue bound to [`topology::CONTROL`], made again after every loss.
///
/// What is said while the queue does not exist is not heard. That is allowed: the coordinator answers every heartbeat that names
/// a task the worker should no longer hold with a new `Revoke`.
pub struct ControlListener {
    config: BrokerConfig,
    backoff: Backoff,
    open: Option<(Link, Consumer)>,
    queue: watch::Sender<Option<String>>,
}

impl ControlListener {
    /// Connects at the first [`ControlListener::next`] or [`ControlListener::ready`].
    pub fn new(config: BrokerConfig) -> Self {
        Self { config, backoff: Backoff::new(), open: None, queue: watch::Sender::new(None) }
    }

    /// The name of its queue, for as long as it has one.
    pub fn queue(&self) -> watch::Receiver<Option<String>> {
        self.queue.subscribe()
    }

    /// Waits until the queue exists: from now on everything is heard.
    pub async fn ready(&mut self) {
        while self.open.is_none() {
            let link = open_until_it_works(&self.config, "control", &mut self.backoff).await;
            match listen(&link).await {
                Ok((consumer, queue)) => {
                    self.backoff.reset();
                    self.queue.send_replace(Some(queue));
                    self.open = Some((link, consumer));
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "cannot listen for control messages");
                    self.backoff.pause().await;
                }
            }
        }
    }

    /// The next message, however long it takes; reconnects by itself, and may be dropped at any await.
    pub async fn next(&mut self) -> Control {
        loop {
            self.ready().await;
            let Some((link, consumer)) = &mut self.open else { continue };
            let lost = match tokio::time::timeout(LOOK, consumer.next()).await {
                // Taken without acknowledgement: a message that this process loses is told again.
                Ok(Some(Ok(delivery))) => match reading::read(&delivery, topology::CONTROL) {
                    Ok(control) => return control,
                    Err(_) => continue,
                },
                Ok(Some(Err(error))) => BrokerError::Broken(error),
                Ok(None) => BrokerError::Cancelled(topology::CONTROL.to_owned()),
                Err(_) if link.is_alive() => continue,
                Err(_) => BrokerError::Cancelled(topology::CONTROL.to_owned()),
            };
            tracing::warn!(error = chain(&lost), "the control listener lost RabbitMQ; connecting again");
            self.open = None;
            self.queue.send_replace(None);
        }
    }
}

async fn listen(link: &Link) -> Result<(Consumer, String), BrokerError> {
    let queue = topology::declare_control_queue(&link.channel).await?;
    let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..Default::default() };
    let consuming = link.channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default());
    Ok((consuming.await.map_err(BrokerError::Broken)?, queue))
}
