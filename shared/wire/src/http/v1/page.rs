//! What every endpoint answers with: problems, and pages of lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An RFC 9457 problem (`application/problem+json`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URI reference naming the kind: `/problems/<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short sentence, the same for every problem of the kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time, naming the item and what to do.
    pub detail: String,
    /// Stable code for programs, for example `unknown_dataset`.
    pub code: String,
}

/// A page of a list. Pass `next` back as `after` to go on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Cursor of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
