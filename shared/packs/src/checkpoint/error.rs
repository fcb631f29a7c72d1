//! What can be wrong with a checkpoint.

use std::io;
use std::path::PathBuf;

/// A checkpoint that cannot be read, or a part of one. The message names the file, the fault and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong, apart from which file it is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The system could not read it.
    #[error("{0}")]
    Io(io::Error),
    /// Another kind of file.
    #[error("this is no checkpoint but {looks_like}; {remedy}")]
    NotACheckpoint {
        /// What its first bytes say.
        looks_like: String,
        /// What to do.
        remedy: String,
    },
    /// The file, or a part of it, ends too early.
    #[error("cut short: {missing}; download or copy the file again")]
    Truncated {
        /// What should have been there.
        missing: String,
    },
    /// The pickle asks for a call that this reader does not make.
    #[error("refused: the file wants to call {global}; {remedy}")]
    Refused {
        /// The full name of what would have been called.
        global: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Larger than anything a checkpoint needs.
    #[error("refused: {0}, more than any known checkpoint needs; the file is damaged or made to exhaust memory")]
    Limit(String),
    /// Not what its format prescribes.
    #[error("damaged: {0}; download or copy the file again")]
    Malformed(String),
    /// An entry of an archive that cannot be trusted.
    #[error("entry {entry:?} of the archive {why}")]
    Entry {
        /// Its name in the archive.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// Sound, but of a kind that is not read.
    #[error("{what} cannot be read; {remedy}")]
    Unsupported {
        /// What was found.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl Fault {
    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(super) fn entry(entry: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Entry { entry: entry.into(), why: why.into() }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Self::Truncated { missing: "it became shorter while it was read".to_owned() }
            }
            _ => Self::Io(error),
        }
    }
}
