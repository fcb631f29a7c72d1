//! Whether a message can be read at all: its size, the version of what it says, its JSON. One that cannot is put aside in
//! [`crate::topology::DEAD`], counted (`cfx_unreadable_messages_total` by queue and reason) and logged; the next one is taken.

use lapin::message::Delivery;
use serde::de::DeserializeOwned;

/// The version that this build speaks: the AMQP `type` of every message. A message without a type is taken for this version.
pub(crate) const VERSION: &str = "cfx.v1";
/// Most bytes of a message, for who sends it and for who reads it. The largest of ours, the outcomes of a batch of long optimisations
/// with their records, is below a megabyte; parsing takes several times the size in memory, and eight may be in hand at once. RabbitMQ
/// 4 closes the channel at 16 MiB (3.10 at 128), which this stays well below.
pub const MOST_BYTES: usize = 8 << 20;

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it has {bytes} bytes, and the limit is {MOST_BYTES}")]
    Oversized { bytes: usize },
    #[error("it is of version '{0}', and this build speaks {VERSION}; upgrade this process, or the one that sent it")]
    Version(String),
    #[error("it cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Unreadable {
    const fn name(&self) -> &'static str {
        match self {
            Self::Oversized { .. } => "oversized",
            Self::Version(_) => "version",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// The message in a delivery. What cannot be read is counted and logged here; the caller rejects it.
pub(crate) fn read<T: DeserializeOwned>(delivery: &Delivery, queue: &str) -> Result<T, Unreadable> {
    let kind = delivery.properties.kind().as_ref().map(ToString::to_string);
    let read = parse(&delivery.data, kind);
    if let Err(error) = &read {
        let id = delivery.properties.message_id().as_ref().map(ToString::to_string);
        metrics::counter!("cfx_unreadable_messages_total", "queue" => queue.to_owned(), "reason" => error.name())
            .increment(1);
        tracing::error!(%error, queue, message_id = id, bytes = delivery.data.len(), "a message is put aside");
    }
    read
}

fn parse<T: DeserializeOwned>(body: &[u8], version: Option<String>) -> Result<T, Unreadable> {
    if body.len() > MOST_BYTES {
        return Err(Unreadable::Oversized { bytes: body.len() });
    }
    match version {
        Some(other) if other != VERSION => Err(Unreadable::Version(other)),
        _ => Ok(serde_json::from_slice(body)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_version_and_form_are_looked_at_in_this_order() {
        let name = |body: &[u8], version: Option<&str>| {
            let read: Result<Vec<u8>, _> = parse(body, version.map(str::to_owned));
            read.map_err(|e| e.name())
        };
        assert_eq!(name(b"[1]", None), Ok(vec![1]));
        assert_eq!(name(b"[1]", Some(VERSION)), Ok(vec![1]));
        assert_eq!(name(b"[1]", Some("cfx.v2")), Err("version"));
        assert_eq!(name(b"[1", Some(VERSION)), Err("malformed"));
        assert_eq!(name(&vec![b'['; MOST_BYTES + 1], Some("cfx.v2")), Err("oversized"));
        // nesting deep enough to end a parser's stack is an error like any other
        assert_eq!(name(&vec![b'['; 1 << 20], None), Err("malformed"));
    }
}
