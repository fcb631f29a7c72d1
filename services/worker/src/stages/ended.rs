//! Why an item has no result.

use super::prepare::Reject;
use artifacts::ArtifactError;
use domain::Reason;
use editing::{EditError, Stop};
use wire::broker::v1::Outcome;

/// The end of an item without a result.
#[derive(Clone, PartialEq, Debug)]
pub enum Ended {
    /// It failed; its batch-mates did not.
    Failed {
        /// The stable code.
        reason: Reason,
        /// One sentence for people.
        detail: String,
    },
    /// Nobody wants it any more: nothing is told about it.
    Cancelled,
    /// Handed back: the worker drains.
    Yielded,
}

impl Ended {
    /// A failure.
    pub fn failed(reason: Reason, detail: impl Into<String>) -> Self {
        Self::Failed { reason, detail: detail.into() }
    }

    /// A defect of ours.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Self::failed(Reason::Internal, detail.to_string())
    }

    /// What the coordinator is told, if anything.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Failed { reason, detail } => Some(Outcome::Failed { reason, detail }),
            Self::Yielded => Some(Outcome::Yielded { checkpoint: None, done: 0.0 }),
            Self::Cancelled => None,
        }
    }
}

impl From<EditError> for Ended {
    fn from(error: EditError) -> Self {
        Self::failed(error.reason(), with_causes(&error))
    }
}

impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(error) => error.into(),
            Stop::Cancelled => Self::Cancelled,
            Stop::Yielded => Self::Yielded,
        }
    }
}

impl From<ArtifactError> for Ended {
    fn from(error: ArtifactError) -> Self {
        Self::failed(error.reason(), with_causes(&error))
    }
}

impl From<Reject> for Ended {
    fn from(reject: Reject) -> Self {
        Self::failed(reject.reason, reject.message)
    }
}

/// An error with its causes, in one sentence.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Transparent errors repeat themselves.
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
