//! Messages over RabbitMQ.

pub mod v1;
