//! Dev only: what a test on real services needs, and nothing that pretends to be one.
//!
//! It owns: a fresh [`TestDatabase`], [`TestVhost`] and [`TestBucket`] for each test, a [`TestBroker`] that a test may stop and
//! start, a [`FaultProxy`] between a client and a server, [`Child`] processes of the workspace's own binaries, [`wait_until`],
//! and the S3 server behind `make up` (the binary `local-s3`).
//!
//! It must never be a normal dependency of a crate that ships: only `[dev-dependencies]` and the `tests` package name it.
//! It must never fall back to a mock: where a service is missing a test fails and says `make up`.
//!
//! After a crash (a test killed half way) databases and vhosts stay behind; their names carry the time they were made, and the
//! next test that makes one removes those older than an hour. A [`TestBroker`] left running is stopped by `make down`.

mod bucket;
mod database;
mod faults;
mod processes;
pub mod s3_server;
mod stack;
mod vhost;
mod waiting;

pub use bucket::TestBucket;
pub use database::TestDatabase;
pub use faults::{Fault, FaultProxy};
pub use processes::{Child, processor_seconds, workspace_binary};
pub use stack::{Stack, workspace_root};
pub use vhost::{TestBroker, TestVhost};
pub use waiting::wait_until;
