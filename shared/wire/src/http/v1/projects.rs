//! Projects, and who changed what.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A project: a tenant among whom GPU time is shared.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its unique name.
    pub name: String,
    /// Its share of the GPUs relative to other projects that wait for some.
    pub weight: f64,
    /// GPU-seconds that may be charged within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_gpu_seconds_per_day: Option<f64>,
    /// Batches of all its jobs with workers at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// Tasks of all its jobs handed out per minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_per_minute: Option<f64>,
    /// GPU-seconds charged within the last 24 hours.
    pub used_gpu_seconds: f64,
}

/// Changes a project. What is absent stays; 0 takes a limit away.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SetProject {
    /// Above 0, at most 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.001, maximum = 1_000)]
    pub weight: Option<f64>,
    /// GPU-seconds within 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub quota_gpu_seconds_per_day: Option<f64>,
    /// Batches at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub max_concurrent: Option<u32>,
    /// Tasks per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub tasks_per_minute: Option<f64>,
}

/// Who changed what.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Grows with time.
    pub id: i64,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Who, proven: a key by name and id, `local` for somebody on the coordinator's machine, `oidc SUBJECT`.
    pub actor: String,
    /// What the client called itself (`cfx-actor`), which nobody checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The project it was done in or to; absent for what concerns the installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What, for example `job.cancel`.
    pub action: String,
    /// To what: a job's id, a project's name.
    pub subject: String,
    /// More.
    pub detail: serde_json::Value,
}
