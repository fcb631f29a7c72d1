//! Where the broker is, and what can go wrong on the way there.

use std::fmt;
use std::time::Duration;

/// Settings of every connection to RabbitMQ.
#[derive(Clone)]
pub struct BrokerConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`; the vhost percent-encoded.
    pub url: String,
    /// Shown in RabbitMQ's management pages, for example `worker host-17`.
    pub name: String,
    /// How long a connection may take to open, handshake included.
    pub connect_timeout: Duration,
    /// Heartbeat interval asked of the broker, in seconds: a dead peer is noticed within two.
    pub heartbeat_seconds: u16,
    /// How long a message may stay unconfirmed before its publish fails. Time during which the broker blocks publishers does
    /// not count.
    pub confirm_timeout: Duration,
}

impl BrokerConfig {
    /// The defaults for `url`: 10 s to connect, 10 s heartbeats, 30 s for a confirm.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: name.into(),
            connect_timeout: Duration::from_secs(10),
            heartbeat_seconds: 10,
            confirm_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for BrokerConfig {
    /// Without the URL, which holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The broker could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL cannot be read.
    #[error("the broker's URL is not amqp://user:password@host:port/vhost: {0}")]
    Url(String),
    /// No connection within the time allowed.
    #[error("RabbitMQ did not answer within {0:?}; check CFX_BROKER_URL and that the broker runs")]
    ConnectTimeout(Duration),
    /// The connection was refused or broke while opening.
    #[error("cannot connect to RabbitMQ; check CFX_BROKER_URL and that the broker runs")]
    Connect(#[source] lapin::Error),
    /// A queue or exchange cannot be declared, for example because it exists with other arguments.
    #[error("cannot declare {name} in RabbitMQ; if it was made by another version, delete it there")]
    Declare {
        /// What was declared.
        name: String,
        /// Why not.
        #[source]
        source: lapin::Error,
    },
    /// The connection broke in use.
    #[error("the connection to RabbitMQ broke")]
    Broken(#[source] lapin::Error),
    /// The broker ended a consumer, for example because its queue was deleted.
    #[error("RabbitMQ cancelled the consumer of {0}")]
    Cancelled(String),
}

impl BrokerError {
    pub(crate) fn declare(name: &str, source: lapin::Error) -> Self {
        Self::Declare { name: name.to_owned(), source }
    }
}
