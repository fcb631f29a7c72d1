//! The only crate with lapin: the topology, a confirmed publisher, and three supervised ways to receive.
//!
//! **Owns** the names and arguments of every exchange and queue ([`topology`]), the connections to RabbitMQ, and the rules for
//! when a message counts as sent ([`Publisher`]) or as handled ([`consume_outcomes`], [`WorkQueue`], [`ControlListener`]).
//!
//! **Never** decides what a message means, never retries on a caller's behalf beyond one re-declaration, and never trusts the
//! client library to recover: lapin's own recovery leaves a consumer hanging after a channel-level error, so it is off, and
//! every role here opens a new connection after any error. Publishing and consuming never share a connection, because a broker
//! that blocks publishers (memory or disk alarm) would then hold back acknowledgements too.
//!
//! **After a crash** an unacknowledged message is delivered again and an unconfirmed one may have arrived: both are normal,
//! because every message carries the (task, epoch) it speaks of. Nothing here is newer than RabbitMQ 3.10, and no default is
//! relied on that differs between 3.10 and 4.x (see [`topology`] on the delivery limit).

mod config;
mod control;
mod link;
mod outcomes;
mod publish;
mod reading;
pub mod topology;
mod uptime;
mod work;

pub use config::{BrokerConfig, BrokerError};
pub use control::ControlListener;
pub use outcomes::{Verdict, consume_outcomes, consume_sign_requests};
pub use publish::{Message, PublishError, Publisher};
pub use reading::MOST_BYTES;
pub use uptime::Uptime;
pub use work::{AckLost, Delivery, WorkQueue};
