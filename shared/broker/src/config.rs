//! Where the broker is, and what can go wrong on the way there.

use std::fmt;
use std::time::Duration;

/// Settings of every connection to RabbitMQ.
#[derive(Clone)]
pub struct BrokerConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`, the vhost percent-encoded; one for each node of a cluster, of which any
    /// will do.
    pub urls: Vec<String>,
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
    /// The defaults for `urls`, which are separated by commas: 10 s to connect, 10 s heartbeats, 30 s for a confirm.
    pub fn new(urls: &str, name: impl Into<String>) -> Self {
        Self {
            urls: split(urls),
            name: name.into(),
            connect_timeout: Duration::from_secs(10),
            heartbeat_seconds: 10,
            confirm_timeout: Duration::from_secs(30),
        }
    }
}

/// At commas before the next scheme: a password may hold one.
fn split(urls: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    // one at the end is a list's, and no password's
    for part in urls.trim().trim_end_matches(',').split(',') {
        match all.last_mut() {
            Some(before) if !part.trim_start().starts_with("amqp") => {
                before.push(',');
                before.push_str(part);
            }
            _ => all.push(part.to_owned()),
        }
    }
    all.into_iter().map(|url| url.trim().to_owned()).filter(|url| !url.is_empty()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_node_by_node() {
        assert_eq!(BrokerConfig::new("amqp://u:p,q@a/%2f", "one").urls, ["amqp://u:p,q@a/%2f"]);
        let three = BrokerConfig::new("amqps://u:p@a:5671/v, amqps://u:p@b:5671/v,\namqps://u:p@c:5671/v,", "three");
        assert_eq!(three.urls, ["amqps://u:p@a:5671/v", "amqps://u:p@b:5671/v", "amqps://u:p@c:5671/v"]);
        assert!(BrokerConfig::new("", "none").urls.is_empty());
    }
}
