//! Why an item has no result.

use super::prepare::Reject;
use artifacts::ArtifactError;
use domain::{Reason, StageKey};
use editing::descent::Checkpoint;
use editing::{EditError, Stop};
use std::rc::Rc;
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
    /// Handed back: the worker drains, or the slice is over.
    Yielded(Option<Halted>),
}

/// Where handed-back work can go on.
#[derive(Clone, PartialEq, Debug)]
pub struct Halted {
    /// The checkpoint's file.
    pub checkpoint: Vec<u8>,
    /// Part done, 0 to 1.
    pub done: f32,
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
            // A checkpoint that was not stored is none.
            Self::Yielded(_) => Some(Outcome::Yielded { checkpoint: None, done: 0.0 }),
            Self::Cancelled => None,
        }
    }
}

impl From<EditError> for Ended {
    fn from(error: EditError) -> Self {
        Self::failed(error.reason(), with_causes(&error))
    }
}

/// The end of an item whose work leaves no checkpoint.
impl From<Stop> for Ended {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(error) => error.into(),
            Stop::Cancelled => Self::Cancelled,
            Stop::Yielded(_) => Self::Yielded(None),
        }
    }
}

impl Ended {
    /// The end of an item whose work is named `key`.
    pub fn of(stop: Stop, key: StageKey) -> Self {
        match stop {
            Stop::Yielded(Some(halted)) => match halted.to_bytes(&key.to_string()) {
                Ok(checkpoint) => Self::Yielded(Some(Halted { checkpoint, done: halted.done() })),
                Err(error) => {
                    tracing::warn!(%key, error = with_causes(&error), "a checkpoint cannot be written; its steps are lost");
                    Self::Yielded(None)
                }
            },
            stop => stop.into(),
        }
    }
}

/// Reads an item's checkpoint of the work named `key`. One that cannot be read can only be from another version: time is lost, and
/// nothing else.
pub fn read_checkpoint(bytes: &[u8], key: StageKey, device: tch::Device) -> Option<Rc<Checkpoint>> {
    match Checkpoint::from_bytes(bytes, &key.to_string(), device) {
        Ok(checkpoint) => Some(Rc::new(checkpoint)),
        Err(error) => {
            tracing::warn!(%key, error = with_causes(&error), "a checkpoint cannot be continued; starting again");
            None
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
