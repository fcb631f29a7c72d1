//! The form in which results are stored, and how much of their provenance leaves with them. Nothing of it changes what is drawn.

use crate::edit::{SpecError, within};
use crate::record::Detail;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a job's images are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// File format.
    pub format: OutputFormat,
    /// Quality of a JPEG, 1 to 100; the other formats are lossless.
    #[schema(minimum = 1, maximum = 100)]
    pub quality: u8,
    /// How much of the record leaves with the image.
    pub detail: Detail,
}

impl Default for Output {
    fn default() -> Self {
        Self { format: OutputFormat::Png, quality: 95, detail: Detail::Full }
    }
}

impl Output {
    /// True for what specifications leave out.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the quality.
    ///
    /// # Errors
    /// When it is not between 1 and 100.
    pub fn validate(&self) -> Result<(), SpecError> {
        within("output.quality", f64::from(self.quality), 1.0, 100.0)
    }
}

/// A file format of results: each carries a record and a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputFormat {
    /// Lossless, for every reader.
    #[default]
    Png,
    /// Small and lossy: a replay is then compared with the picture before it was written.
    Jpeg,
    /// Lossless and smaller than PNG.
    Webp,
}

impl OutputFormat {
    /// Its name, which is also the usual ending of file names but for `jpeg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// The usual ending of file names.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }

    /// The format that a file's ending asks for.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }
}
