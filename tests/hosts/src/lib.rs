//! An installation on many hosts, as far as one machine can have them: coordinators, workers, a PostgreSQL, a RabbitMQ cluster of three
//! nodes and an S3 server, each in a network namespace of its own with its own address, behind a switch that delays, loses and cuts;
//! TLS everywhere that the project speaks it, with certificates of the installation's own authority.
//!
//! Workers have the null executor (`CFX_EXECUTOR`): what is looked at is everything around the tensors. Two projects of unequal weight
//! always have work. A **story** breaks something, mends it, and tells the throughput and the shares before, during and after; when
//! all stories are told, every job must have ended, and the whole history is held against the invariants of the design
//! ([`faults::history`]).
//!
//! - [`switch`] and [`host`]: the network. [`postgres`], [`rabbit`], [`pki`]: services on it.
//! - [`fleet`]: the installation, and how its processes come and go. [`load`]: its work, and what of it was done when.
//! - [`story`]: what is broken, one deed a story. [`report`] writes `.local/hosts/report.json` and the table.
//!
//! It takes root, for namespaces and TAP devices; nothing outside of them is changed, and what a killed run left is removed by the next.

pub mod fleet;
pub mod host;
pub mod load;
pub mod pki;
pub mod postgres;
pub mod rabbit;
pub mod report;
pub mod story;
pub mod switch;

pub use fleet::Fleet;
pub use report::Report;
