//! What a person decides of a result, beside the verdict that networks gave.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// A reviewer's decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Somebody should look at it.
    Flagged,
    /// Not to be used, whatever the verdict says.
    Rejected,
    /// Looked at, and good.
    Approved,
}

impl Decision {
    /// All decisions.
    pub const ALL: [Self; 3] = [Self::Flagged, Self::Rejected, Self::Approved];

    /// The stable name in columns and addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flagged => "flagged",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no decision.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a reviewer's decision; give flagged, rejected or approved")]
pub struct UnknownDecision(pub String);

impl FromStr for Decision {
    type Err = UnknownDecision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|d| d.name() == text).ok_or_else(|| UnknownDecision(text.to_owned()))
    }
}
