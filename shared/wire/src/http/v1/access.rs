//! API keys, and who asks.

use chrono::{DateTime, Utc};
use domain::{ApiKeyId, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who asks, and what they may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The name in the audit log.
    pub name: String,
    /// `key`, `token` (of an OpenID Connect provider), or `local` (a program on the coordinator's machine).
    pub kind: String,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ApiKeyId>,
    /// What they may do.
    pub scope: Scope,
    /// Where; absent for all projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<String>>,
    /// When what they showed ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// For people; need not be unique.
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// The only project it is good for, which is made if it is new; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    pub project: Option<String>,
    /// It ends by itself after this many days, 1 to 3,650; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3_650)]
    pub expires_in_days: Option<u32>,
}

/// Gives a key another secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateApiKey {
    /// The old secret holds for this long, 30 days at most; 0 ends it at once.
    #[schema(minimum = 0, maximum = 2_592_000)]
    pub overlap_seconds: u64,
}

/// A key, without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// For people.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// The only project it is good for; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// `active`, `expired` or `revoked`.
    pub state: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it last got another secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key with its text, which is told this once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// The key.
    pub key: ApiKey,
    /// `cfx_<id>_<secret>`: what its owner sends.
    pub token: String,
}
