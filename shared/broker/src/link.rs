//! One connection with one channel, and the pause between attempts to open it.
//!
//! A link is thrown away after any error, channel-level ones included, and a new one opened: there is then exactly one way to
//! recover, and it is exercised by every fault.

use crate::config::{BrokerConfig, BrokerError};
use crate::topology;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// An open connection with its channel; dropping it closes both, and the broker takes back what was not acknowledged.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
}

impl Link {
    /// Opens a connection (`role` tells it from the process's others) and declares the base topology on it. Of a cluster the nodes are
    /// asked in turn, from another one each time, so that connections are spread and a node that is down is passed over.
    pub(crate) async fn open(config: &BrokerConfig, role: &str) -> Result<Self, BrokerError> {
        static TURN: LazyLock<AtomicUsize> = LazyLock::new(|| AtomicUsize::new(std::process::id() as usize));
        let nodes = config.urls.len();
        let first = TURN.fetch_add(1, Ordering::Relaxed);
        let mut opened = Err(BrokerError::Url("it is empty".to_owned()));
        for node in 0..nodes {
            opened = Self::open_one(config, &config.urls[first.wrapping_add(node) % nodes], role).await;
            if opened.is_ok() {
                break;
            }
        }
        opened
    }

    async fn open_one(config: &BrokerConfig, url: &str, role: &str) -> Result<Self, BrokerError> {
        let mut uri: AMQPUri = url.parse().map_err(BrokerError::Url)?;
        uri.query.heartbeat = Some(uri.query.heartbeat.unwrap_or(config.heartbeat_seconds));
        let name = format!("{} ({role})", config.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let opening = async {
            let connection = Connection::connect_uri(uri, properties).await.map_err(BrokerError::Connect)?;
            let channel = connection.create_channel().await.map_err(BrokerError::Connect)?;
            topology::declare_base(&channel).await?;
            Ok(Self { connection, channel })
        };
        // a node that does not answer is waited for less where another may
        let patience = if config.urls.len() > 1 { config.connect_timeout / 2 } else { config.connect_timeout };
        let opened = tokio::time::timeout(patience, opening).await;
        opened.unwrap_or(Err(BrokerError::ConnectTimeout(patience)))
    }

    /// False once either the connection or the channel has ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }
}

/// Pauses that double from 200 ms to 10 s, until a success resets them.
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(10);

    pub(crate) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    pub(crate) const fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Self::LONGEST);
    }
}

/// Opens a link, however long it takes; says so once and then at every attempt in the debug log.
pub(crate) async fn open_until_it_works(config: &BrokerConfig, role: &str, backoff: &mut Backoff) -> Link {
    let mut told = false;
    loop {
        match Link::open(config, role).await {
            Ok(link) => {
                if told {
                    tracing::info!(role, "connected to RabbitMQ again");
                }
                return link;
            }
            Err(error) if told => tracing::debug!(role, error = chain(&error), "RabbitMQ is still away"),
            Err(error) => {
                told = true;
                tracing::warn!(role, error = chain(&error), "RabbitMQ is away; trying again");
            }
        }
        backoff.pause().await;
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
