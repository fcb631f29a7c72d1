//! What can be wrong with an import.

use crate::checkpoint::CheckpointError;
use crate::error::PackError;
use crate::verify::Problem;
use std::io;
use std::path::PathBuf;

/// An import that cannot be done. Nothing has been written but a folder that is removed again.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file is no checkpoint, or damaged.
    #[error(transparent)]
    Unreadable(#[from] CheckpointError),
    /// A sound checkpoint that does not hold what was asked for.
    #[error("{}: {cause}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Cause,
    },
    /// The request itself.
    #[error("{0}")]
    Request(String),
    /// The pack's folder cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest that would result is not valid.
    #[error(transparent)]
    Manifest(#[from] PackError),
    /// The parts do not fit each other.
    #[error("the parts do not make a pack: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Misfit {
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}

/// What is wrong with a checkpoint as a part of a pack.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A tensor that the network cannot do without.
    #[error("tensor {key} is missing; the file is cut, or holds another network than the one asked for")]
    Missing {
        /// Its name in the checkpoint.
        key: String,
    },
    /// Tensors that no network of this kind has.
    #[error(
        "{} of its tensors belong to no network of this kind: {}{}; it may come from a changed program, whose results would differ",
        keys.len(), keys.iter().take(6).cloned().collect::<Vec<_>>().join(", "), if keys.len() > 6 { ", …" } else { "" }
    )]
    Surplus {
        /// Their names, sorted.
        keys: Vec<String>,
    },
    /// A tensor or setting with a value that cannot be.
    #[error("{key} {what}")]
    Odd {
        /// Its name in the checkpoint.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// A number that is none.
    #[error(
        "tensor {key} holds {count} numbers that are not finite; the training diverged, or the file is damaged: take another checkpoint"
    )]
    NotFinite {
        /// Its name in the checkpoint.
        key: String,
        /// How many.
        count: usize,
    },
    /// Another kind of checkpoint than asked for.
    #[error("is {found}, but {wanted} is needed here; {remedy}")]
    OtherKind {
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
        /// What to do.
        remedy: String,
    },
    /// A network that is known, and known not to be computed here.
    #[error("{what} is not supported; {remedy}")]
    Unsupported {
        /// The network, or the part of it.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}
