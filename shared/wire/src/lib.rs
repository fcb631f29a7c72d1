//! What is said: the messages between `cfx` and the coordinator (HTTP, JSON) and between the coordinator and the workers
//! (RabbitMQ, JSON).
//!
//! **Owns** the shape of every message, with its version in the module name. **Never** talks: no sockets, no queues, no SQL.
//! Unknown fields are ignored by readers of broker messages (a newer peer may add some) and refused in requests from users
//! (a misspelt setting must not pass silently).
//!
//! **After a crash** a message may be lost, doubled, late or out of order; every broker message therefore carries the
//! (task, epoch) it speaks of, and changes nothing when the epoch is no longer the task's.

pub mod broker;
pub mod http;
