//! The fault harness: coordinators and workers as they ship, on a PostgreSQL, a RabbitMQ and an S3 of their own behind proxies, are
//! broken on purpose while a job runs; afterwards the history is held against the invariants of the design.
//!
//! One **run** is one seed: the seed chooses what the job is, which fault (or which two) strikes, when, whom and for how long. The
//! same seed makes the same choices; what the machine's scheduler makes of them is its own. Workers have the null executor
//! (`CFX_EXECUTOR`), so a run takes seconds and everything but the tensors is real.
//!
//! - [`fault`]: the faults of the matrix, each an injection that heals itself, or the reason why it cannot be made here.
//! - [`rig`]: the installation that is broken, and what brings it back to health between runs.
//! - [`history`]: what is checked, by SQL and by the bucket's files.
//! - [`report`] writes `.local/faults/report.json`.
//!
//! Databases decide about time, not this harness: the moments it notes are the database's own.

pub mod api;
pub mod database;
pub mod fault;
pub mod history;
pub mod report;
pub mod rig;
pub mod run;
pub mod scenario;
pub mod setup;
pub mod soak;

pub use fault::Fault;
pub use report::Report;
pub use rig::Rig;
