//! Messages over RabbitMQ.

mod tagged;
pub mod v1;
