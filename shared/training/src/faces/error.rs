//! What can go wrong between a face's parameters and its pixels.

use std::path::PathBuf;

/// A face could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum FacesError {
    /// The library is not where it was looked for.
    #[error("{path}: {source}; the face library facesjs is fetched by `make facesjs` (deploy/local/facesjs.sh)")]
    Missing {
        /// The file that could not be read.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds another release, whose drawings would be others.
    #[error("{path} is of version {found}, not {expected}; fetch it again with `make facesjs`")]
    Version {
        /// The library's `package.json`.
        path: PathBuf,
        /// The version it names.
        found: String,
        /// The version the drawings are defined by.
        expected: &'static str,
    },
    /// The library's script failed.
    #[error("the script of facesjs failed: {0}")]
    Script(String),
    /// The library's SVG has a part that this version of the renderer counts on in another form.
    #[error("the drawing of facesjs lacks {0}")]
    Drawing(&'static str),
    /// The SVG could not be read.
    #[error("the drawing of facesjs is not readable: {0}")]
    Svg(String),
    /// A picture of no pixels, or of too many.
    #[error("a picture of {0} x {0} px cannot be drawn; the side must be 1 to 4096")]
    Side(u32),
}
