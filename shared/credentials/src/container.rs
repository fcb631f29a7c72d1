//! The places in an image file where something about it is kept: one module a format, three kinds of parts.
//!
//! Parts are spliced in and cut out without touching the pixels' bytes, so a file without its parts has the same digest whatever
//! was put into it and taken out again.

mod jpeg;
mod png;
mod webp;

use domain::record::RECORD_SCHEMA;

/// What can be put into a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// The record or its excerpt: JSON, UTF-8.
    Record,
    /// An XMP packet (ISO 16684-1).
    Xmp,
}

/// Keyword of the part that holds the record.
pub const RECORD_KEYWORD: &str = "counterfactory.record";

/// The image formats that carry a record and a credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Container {
    /// Portable Network Graphics, third edition.
    Png,
    /// JPEG (JFIF or EXIF).
    Jpeg,
    /// WebP.
    WebP,
}

/// A file that cannot carry, or does not carry, a readable record.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// Some other kind of file.
    #[error("the file is no PNG, JPEG or WebP; records travel in the images that a worker writes")]
    NoContainer,
    /// It ends or breaks in the middle.
    #[error("the {format} is truncated or damaged: {detail}")]
    Damaged {
        /// Its format.
        format: &'static str,
        /// Where or how.
        detail: String,
    },
    /// No record: the file was never one of ours, or a program that rewrote it dropped it.
    #[error("the file carries no record ('{RECORD_KEYWORD}'); was it written again by another program?")]
    NoRecord,
    /// More than one record.
    #[error("the file carries {0} records; exactly one is allowed")]
    Several(usize),
    /// A record that this version cannot read, because a later one wrote it.
    #[error(
        "the record inside the file has the schema '{0}', which this program does not know; it reads up to '{RECORD_SCHEMA}'"
    )]
    Schema(String),
    /// More than a file of this format can hold.
    #[error("{bytes} bytes of metadata do not fit into a {format}")]
    TooLong {
        /// The format.
        format: &'static str,
        /// How many there were.
        bytes: usize,
    },
    /// What should be a record is none.
    #[error("the record inside the file cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// Only part of the record left with the file.
    #[error("the file carries no record but the digest of one: {0}; the record lies with the dataset it belongs to")]
    Excerpt(domain::Digest),
}

impl Container {
    /// The format that `file` begins as.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn of(file: &[u8]) -> Result<Self, EmbedError> {
        match file {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            _ => Err(EmbedError::NoContainer),
        }
    }

    /// Its name, as records and settings write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::WebP => "webp",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    /// `file` with `body` as its only part of this kind.
    pub(crate) fn put(self, file: &[u8], part: Part, body: &[u8]) -> Result<Vec<u8>, EmbedError> {
        match self {
            Self::Png => png::put(file, part, body),
            Self::Jpeg => jpeg::put(file, part, body),
            Self::WebP => webp::put(file, part, body),
        }
    }

    /// Every part of this kind.
    pub(crate) fn get(self, file: &[u8], part: Part) -> Result<Vec<Vec<u8>>, EmbedError> {
        match self {
            Self::Png => png::get(file, part),
            Self::Jpeg => jpeg::get(file, part),
            Self::WebP => webp::get(file, part),
        }
    }

    /// `file` without records, XMP and credentials (C2PA).
    pub(crate) fn bare(self, file: &[u8]) -> Result<Vec<u8>, EmbedError> {
        match self {
            Self::Png => png::bare(file),
            Self::Jpeg => jpeg::bare(file),
            Self::WebP => webp::bare(file),
        }
    }
}
