//! What a file says about itself, unsigned: the record or an excerpt of it. The credential that is put in afterwards signs these
//! bytes too.

use crate::container::{Container, EmbedError, Part};
use domain::Digest;
use domain::record::{Detail, EXCERPT_SCHEMA, Excerpt, READABLE_SCHEMAS, Record, WrittenRecord};
use serde::Deserialize;

/// What a file says of its record.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// All of it, with the exact bytes it was read from (their digest is the record's digest).
    Record {
        /// The record.
        record: Box<Record>,
        /// Its text.
        text: Vec<u8>,
    },
    /// Its digest, and maybe its recipe.
    Excerpt(Box<Excerpt>),
}

impl Told {
    /// The record's digest.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Record { text, .. } => Digest::of(text),
            Self::Excerpt(excerpt) => excerpt.record_digest,
        }
    }
}

/// `file` with what `detail` lets out of `record` inside. What is already there is replaced.
///
/// # Errors
/// When `file` is no whole PNG, JPEG or WebP.
pub fn embed_record(file: &[u8], record: &WrittenRecord, detail: Detail) -> Result<Vec<u8>, EmbedError> {
    let container = Container::of(file)?;
    match Excerpt::of(record, record.digest(), detail) {
        None => container.put(file, Part::Record, record.text().as_bytes()),
        Some(excerpt) => {
            // safe because the record, of which it is a part, has a canonical form
            let text = domain::canonical_json(&excerpt).expect("a part of a record has a canonical form");
            container.put(file, Part::Record, &text)
        }
    }
}

/// What `file` says of its record.
///
/// # Errors
/// When it says nothing, says it more than once, or is unreadable.
pub fn read_told(file: &[u8]) -> Result<Told, EmbedError> {
    told_by(told_text(file)?)
}

/// What the text of a record or an excerpt says.
pub(crate) fn told_by(text: Vec<u8>) -> Result<Told, EmbedError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    let told: Schema = serde_json::from_slice(&text).map_err(EmbedError::Unreadable)?;
    if told.schema == EXCERPT_SCHEMA {
        return serde_json::from_slice(&text).map(Told::Excerpt).map_err(EmbedError::Unreadable);
    }
    match serde_json::from_slice(&text) {
        Ok(record) => Ok(Told::Record { record, text }),
        // What is missing from it by this version's lights says nothing of what is wrong.
        Err(_) if !READABLE_SCHEMAS.contains(&told.schema.as_str()) => Err(EmbedError::Schema(told.schema)),
        Err(error) => Err(EmbedError::Unreadable(error)),
    }
}

/// The exact bytes that [`read_told`] reads.
pub(crate) fn told_text(file: &[u8]) -> Result<Vec<u8>, EmbedError> {
    let mut found = Container::of(file)?.get(file, Part::Record)?;
    match (found.pop(), found.len()) {
        (Some(text), 0) => Ok(text),
        (Some(_), others) => Err(EmbedError::Several(others + 1)),
        (None, _) => Err(EmbedError::NoRecord),
    }
}

/// The whole record inside `file`, with the exact bytes it was read from.
///
/// # Errors
/// As [`read_told`], and when there is but an excerpt.
pub fn extract_record(file: &[u8]) -> Result<(Record, Vec<u8>), EmbedError> {
    match read_told(file)? {
        Told::Record { record, text } => Ok((*record, text)),
        Told::Excerpt(excerpt) => Err(EmbedError::Excerpt(excerpt.record_digest)),
    }
}

/// `file` without record, XMP and credential: what `outcome.unsigned_sha256` is the digest of. All other bytes are unchanged in a
/// PNG; JPEG and WebP come in the one form that this function gives.
///
/// # Errors
/// When `file` is no whole PNG, JPEG or WebP.
pub fn strip_record(file: &[u8]) -> Result<Vec<u8>, EmbedError> {
    Container::of(file)?.bare(file)
}
