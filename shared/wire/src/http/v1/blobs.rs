//! Uploads past the coordinator.

use chrono::{DateTime, Utc};
use domain::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Asks for addresses in the bucket, to upload blobs past the coordinator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUploads {
    /// At most 1,000 a request.
    #[schema(min_items = 1, max_items = 1_000)]
    pub uploads: Vec<NewUpload>,
}

/// A blob that is to be uploaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUpload {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Their number.
    pub bytes: u64,
}

/// Where blobs go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Uploads {
    /// In the order of the request.
    pub uploads: Vec<Upload>,
}

/// Where a blob goes: `PUT` its bytes to `url` with `headers`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Whether it is in the bucket already, so that nothing is to be sent.
    pub there: bool,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What must be sent with the bytes, exactly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}
