//! Worker processes.

use chrono::{DateTime, Utc};
use domain::TaskId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A worker process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// The process.
    pub boot: domain::BootId,
    /// Host name and process id.
    pub name: String,
    /// Queue class.
    pub class: String,
    /// Device.
    pub device: String,
    /// Version.
    pub version: String,
    /// `live`, `draining`, `lost` or `gone`.
    pub state: String,
    /// Tasks it holds.
    pub running: i64,
    /// Those of them that are of projects that the asker's key is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<HeldTask>,
    /// Images finished.
    pub images: i64,
    /// Milliseconds of tensor work.
    pub busy_ms: i64,
    /// What keeps it from taking more work, for example `storage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// Resident memory of the process in bytes, as it last said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<i64>,
    /// Memory of its GPU, as it last said; absent on a CPU and where the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory: Option<DeviceMemory>,
    /// First sign of life, by the database's clock.
    pub first_seen: DateTime<Utc>,
    /// Last sign of life.
    pub last_seen: DateTime<Utc>,
}

/// Memory of a GPU, or of the part of one that a worker has (MIG).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeviceMemory {
    /// Bytes that are taken, by all processes together.
    pub used_bytes: i64,
    /// Bytes there are.
    pub total_bytes: i64,
}

/// A task that a worker holds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldTask {
    /// The task.
    pub task: TaskId,
    /// Part done, 0 to 1.
    pub done: f32,
}
