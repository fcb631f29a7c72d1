//! Version 1 of the HTTP interface. Paths are in `services/coordinator/src/http/mod.rs`; the OpenAPI document is made of these types.

mod access;
mod blobs;
mod datasets;
mod jobs;
mod packs;
mod page;
mod progress;
mod projects;
mod results;
mod signatures;
mod tasks;
mod workers;

pub use access::{ApiKey, CreatedApiKey, NewApiKey, RotateApiKey, WhoAmI};
pub use blobs::{NewUpload, NewUploads, Upload, Uploads};
pub use datasets::{Dataset, Duplicate, MaskConflict, NewDataset, NewSource, NewSources, Source, SourcesAdded};
pub use jobs::{Count, EditYield, Job, JobLimits, ReasonCount, Retried, Retry, SetLimits};
pub use packs::{NewPack, Pack};
pub use page::{Page, Problem};
pub use progress::{Eta, Progress, StageProgress, Stall};
pub use projects::{AuditEntry, Project, SetProject};
pub use results::{EditResult, Pair, Review, SetReview, SignedCompanion};
pub use signatures::{JobSeal, JobSeals, Keys, SealedFile, SigningKey};
pub use tasks::{NamedTasks, Task, TasksCancelled, TasksPaused, TasksResumed};
pub use workers::{DeviceMemory, HeldTask, Worker};
