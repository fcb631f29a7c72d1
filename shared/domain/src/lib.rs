//! What is true in Counterfactory: the vocabulary every other crate speaks.
//!
//! **Owns** ids, digests, canonical JSON, edit and job specifications with their validation, the task and job state
//! machines, failure classes with the retry policy, stage keys, the provenance record, and what an API key allows.
//!
//! **Never** does IO, reads a clock or a random number, or depends on tokio, sqlx, lapin, an S3 client or libtorch. Time and
//! randomness come in as arguments.
//!
//! **After a crash** nothing needs repair here: every value is immutable and every transition is a pure function. The
//! database applies the same transitions in SQL; `tests/` checks the two against each other.

pub mod accept;
pub mod access;
pub mod cost;
pub mod digest;
pub mod edit;
pub mod failure;
pub mod framing;
pub mod ids;
pub mod inversion;
pub mod job;
pub mod job_state;
pub mod landmarks;
pub mod limits;
pub mod output;
pub mod precision;
pub mod record;
pub mod review;
pub mod schema;
pub mod stage;
pub mod task_state;

pub use access::{ApiKeyToken, Scope};
pub use cost::Cost;
pub use digest::{Digest, canonical_json, digest_of};
pub use failure::{FailureClass, Reason, RetryPolicy};
pub use framing::{Frame, Framing};
pub use ids::{ApiKeyId, BatchId, BootId, DatasetId, JobId, ProjectId, RecordId, TaskId};
pub use landmarks::Landmarks;
pub use limits::Limits;
pub use output::{Output, OutputFormat};
pub use precision::Precision;
pub use stage::{Stage, StageKey};
