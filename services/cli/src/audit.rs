//! An audit of a classifier by counterfactual pairs: what it decides on each source, on the source's reconstruction and on the edit.
//!
//! A reconstruction is the source as the generator draws it, unedited. What already changes there is an artefact of inversion, so flips
//! from source to reconstruction are the control, and flips from reconstruction to edit are what the edit did.
//!
//! [`scores`] reads what the classifier said, [`classify`] asks it where a file of it is given, [`rows`] counts, [`stats`] says how sure
//! the counts are, [`report`] writes the files.

pub mod classify;
pub mod report;
pub mod rows;
pub mod scores;
pub mod stats;

/// Which of a pair's three images.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Role {
    /// The registered image.
    Source,
    /// The inverted latent, unedited.
    Reconstruction,
    /// The output.
    Edit,
}

impl Role {
    /// All, in the order of [`rows::Pair::readings`].
    pub const ALL: [Self; 3] = [Self::Source, Self::Reconstruction, Self::Edit];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Reconstruction => "reconstruction",
            Self::Edit => "edit",
        }
    }
}
