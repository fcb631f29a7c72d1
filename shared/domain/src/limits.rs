//! What a job may take at most, whatever its project's share is.

use crate::edit::{SpecError, within};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Limits of one job. All are enforced when work is handed out: what runs is finished.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Batches with workers at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_concurrent: Option<u32>,
    /// GPU-seconds after which nothing more is handed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.001, maximum = 1_000_000_000_000_i64)]
    pub budget_gpu_seconds: Option<f64>,
    /// When what was not begun is cancelled (RFC 3339; in TOML as a text).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// Tasks handed out per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.001, maximum = 1_000_000_000)]
    pub tasks_per_minute: Option<f64>,
}

impl Limits {
    /// True if nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every number.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn validate(&self) -> Result<(), SpecError> {
        if let Some(batches) = self.max_concurrent {
            within("limits.max_concurrent", f64::from(batches), 1.0, 1e6)?;
        }
        if let Some(seconds) = self.budget_gpu_seconds {
            within("limits.budget_gpu_seconds", seconds, 1e-3, 1e12)?;
        }
        if let Some(rate) = self.tasks_per_minute {
            within("limits.tasks_per_minute", rate, 1e-3, 1e9)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_left_out_where_there_are_none_and_faults_are_named() {
        assert_eq!(serde_json::to_string(&Limits::default()).unwrap(), "{}");
        let read = |text: &str| serde_json::from_str::<Limits>(text).unwrap();
        let limits = read(r#"{"max_concurrent":2,"deadline":"2026-12-01T00:00:00Z"}"#);
        assert_eq!((limits.max_concurrent, limits.validate()), (Some(2), Ok(())));
        for (text, field) in [
            (r#"{"max_concurrent":0}"#, "limits.max_concurrent"),
            (r#"{"budget_gpu_seconds":-1}"#, "limits.budget_gpu_seconds"),
            (r#"{"tasks_per_minute":0}"#, "limits.tasks_per_minute"),
        ] {
            let error = read(text).validate().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
