//! Why an edit, or one item of it, has no result.

use crate::descent::Checkpoint;
use domain::Reason;
use networks::error::{LoadError, NetworkError};
use networks::tokenizer::TokenizeError;
use std::rc::Rc;
use tch::TchError;

/// A fault. [`EditError::reason`] says under which code it is kept with the task.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A network refused its input, ran out of memory or failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A tensor file (a mapper, a checkpoint, a latent) is not what it should be.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The bytes of a tensor file cannot be read at all.
    #[error("{what} is not a complete safetensors file")]
    Malformed {
        /// Which file: `latent`, `mapper` or `checkpoint`.
        what: &'static str,
        /// What the safetensors reader said.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// A checkpoint's own notes are missing or belong to another training.
    #[error("the checkpoint cannot be continued: {reason}; delete it to start again")]
    Checkpoint {
        /// What does not fit.
        reason: String,
    },
    /// A mapper that cannot be used with this pack and program.
    #[error("the mapper {reason}; train it again")]
    Mapper {
        /// What does not fit, as the end of the sentence.
        reason: String,
    },
    /// Two texts between which CLIP sees no difference.
    #[error(
        "to CLIP '{target}' says nothing beyond '{neutral}': the direction between them has length {length:.1e}; word the target differently"
    )]
    NoDirection {
        /// What the edited image should show.
        target: String,
        /// What the source shows.
        neutral: String,
        /// Length of the mean difference of their unit features; 0 to 2.
        length: f64,
    },
    /// A text that the text encoder cannot take, templates included.
    #[error(transparent)]
    Text(#[from] TokenizeError),
    /// NaN or infinity appeared.
    #[error("{what} was not finite at step {step}")]
    NonFinite {
        /// Which quantity.
        what: &'static str,
        /// The step, from 0.
        step: u32,
    },
    /// The pack lacks something the call needs.
    #[error("the pack {what}")]
    Pack {
        /// What it lacks, as the end of the sentence.
        what: String,
    },
    /// The caller's numbers do not fit together.
    #[error("{what}")]
    Input {
        /// What is wrong and what is expected.
        what: String,
    },
}

impl EditError {
    /// The reason code of a failed task.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Network(e) if e.is_out_of_memory() => Reason::OutOfMemory,
            Self::Network(NetworkError::DeviceLost(_)) => Reason::DeviceLost,
            Self::Network(NetworkError::NotFinite { .. }) | Self::NonFinite { .. } => Reason::NonFinite,
            Self::Load(e) if e.is_out_of_memory() => Reason::OutOfMemory,
            Self::Text(TokenizeError::TooLong { .. } | TokenizeError::Oversized { .. }) => Reason::TextTooLong,
            Self::Pack { .. } => Reason::PackInvalid,
            Self::NoDirection { .. } => Reason::NoDirection,
            Self::Text(_)
            | Self::Mapper { .. }
            | Self::Network(_)
            | Self::Load(_)
            | Self::Malformed { .. }
            | Self::Checkpoint { .. }
            | Self::Input { .. } => Reason::Internal,
        }
    }

    /// True when a smaller batch may succeed.
    pub fn is_out_of_memory(&self) -> bool {
        self.reason() == Reason::OutOfMemory
    }
}

impl From<TchError> for EditError {
    fn from(error: TchError) -> Self {
        Self::Network(error.into())
    }
}

/// Why one item of a micro-batch has no result.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The item failed; its batch-mates did not.
    #[error(transparent)]
    Failed(#[from] EditError),
    /// It is no longer wanted.
    #[error("cancelled")]
    Cancelled,
    /// The worker was asked to hand the work back; nothing is wrong with the item.
    #[error("handed back")]
    Yielded(
        /// Where it can go on; none if nothing of it is worth keeping.
        Option<Rc<Checkpoint>>,
    ),
}
