//! A record together with its text: written once, then hashed, embedded, uploaded and sent as it stands.
//!
//! Canonical JSON costs ten times what plain JSON does (46 us a record against 4), and every station needs those very bytes. So
//! they travel with the record, and who receives one hashes what was sent rather than writing it anew.

use super::Record;
use crate::digest::{CanonicalError, Digest, canonical_json};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::ops::Deref;

/// A record and its JSON text. Two are equal if their records are.
#[derive(Clone, Debug)]
pub struct WrittenRecord {
    record: Record,
    text: Box<RawValue>,
}

impl WrittenRecord {
    /// Writes a record as canonical JSON (RFC 8785).
    ///
    /// # Errors
    /// When a number in it is not finite.
    pub fn new(record: Record) -> Result<Self, CanonicalError> {
        let bytes = canonical_json(&record)?;
        let text = serde_json::from_slice(&bytes).map_err(CanonicalError)?;
        Ok(Self { record, text })
    }

    /// The text: canonical if it was written here, and otherwise as it was received.
    pub fn text(&self) -> &str {
        self.text.get()
    }

    /// SHA-256 of the text.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text())
    }

    /// The record, if this is what `digest` names. A text that came with other white space or another order of keys, as some JSON
    /// libraries write, is written canonically before it is judged.
    ///
    /// # Errors
    /// [`NotOfDigest`] when it has another digest, or no canonical form.
    pub fn under(self, digest: Digest) -> Result<Self, NotOfDigest> {
        if self.digest() == digest {
            return Ok(self);
        }
        let again = Self::new(self.record)?;
        if again.digest() == digest { Ok(again) } else { Err(NotOfDigest::Another) }
    }
}

/// A record that is not what a digest names.
#[derive(Debug, thiserror::Error)]
pub enum NotOfDigest {
    /// Its digest is another.
    #[error("its record does not hash to the digest it was sent under")]
    Another,
    /// It cannot be hashed.
    #[error("its record has no canonical form")]
    Unwritable(#[from] CanonicalError),
}

impl Deref for WrittenRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl PartialEq for WrittenRecord {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Serialize for WrittenRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WrittenRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let record = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { record, text })
    }
}
