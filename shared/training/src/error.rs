//! What can go wrong while a pack is trained.

use std::path::{Path, PathBuf};

use networks::{LoadError, NetworkError, TokenizeError};
use tch::TchError;

use crate::faces::FacesError;

/// A training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// A loss was NaN or infinite. The parameters are lost from here on; the last checkpoint and the curve are kept.
    #[error(
        "{part} diverged at step {step}: its loss `{loss}` is {value}; the curve is in {curve}. Lower its learning rate, \
         remove its checkpoint and run again"
    )]
    Diverged {
        /// The part.
        part: &'static str,
        /// The step whose loss it was, from 0.
        step: u64,
        /// The name of the loss.
        loss: &'static str,
        /// Its value.
        value: f64,
        /// The file with every loss until then.
        curve: PathBuf,
    },
    /// A checkpoint that is not of this part, recipe or version.
    #[error("{path}: {reason}; remove it, or resume with the recipe that made it")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The recipe is no TOML, or has an unknown or mistyped key; the inner message shows the line.
    #[error("{path}: {source}")]
    RecipeFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// The recipe has a value out of range.
    #[error("the recipe's {key} is {value}; {expected}")]
    Recipe {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No picture could be drawn.
    #[error(transparent)]
    Faces(#[from] FacesError),
    /// libtorch failed.
    #[error("libtorch failed while training")]
    Torch(#[from] TchError),
    /// A network refused its input.
    #[error("a network failed while training")]
    Network(#[from] NetworkError),
    /// A network could not be built from the parameters.
    #[error("a network could not be built from its parameters")]
    Load(#[from] LoadError),
    /// A caption could not be turned into tokens.
    #[error("a caption could not be turned into tokens")]
    Tokenize(#[from] TokenizeError),
    /// The pack could not be sealed.
    #[error("the pack could not be written")]
    Pack(#[from] packs::PackError),
    /// The pack that was written is not sound.
    #[error("the pack that was written is not sound: {0}")]
    Unsound(String),
}

impl TrainingError {
    /// Ties an IO error to its file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| TrainingError::Io { path, source }
    }
}
