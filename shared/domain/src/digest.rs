//! SHA-256 digests and canonical JSON (RFC 8785), the two ways in which anything here is named by its content.

mod finite;

use crate::schema::text_form;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// A SHA-256 digest: 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(bytes.as_ref()).into())
    }

    /// Wraps 32 raw bytes, as a database column returns them.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where the object of this digest lies in the bucket: `cas/sha256/<aa>/<bb>/<digest>`.
    pub fn cas_key(&self) -> String {
        let hex = self.to_string();
        format!("cas/sha256/{}/{}/{hex}", &hex[..2], &hex[2..4])
    }
}

/// A text that is not a SHA-256 digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a SHA-256 digest (64 lower-case hexadecimal digits)")]
pub struct DigestError(pub String);

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0_u8; 32];
        let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !lower || hex::decode_to_slice(text, &mut bytes).is_err() {
            return Err(DigestError(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = DigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        <[u8; 32]>::try_from(bytes).map(Self).map_err(|_| DigestError(hex::encode(bytes)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

text_form!(
    Digest,
    "Digest",
    "A SHA-256 digest: 64 lower-case hexadecimal digits.",
    "^[0-9a-f]{64}$",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
);

/// A value that has no canonical JSON: a number that is not finite, or a map whose keys are not texts.
#[derive(Debug, thiserror::Error)]
#[error("the value has no canonical JSON form (RFC 8785)")]
pub struct CanonicalError(#[source] pub(crate) serde_json::Error);

/// Canonical JSON by RFC 8785: sorted keys, shortest numbers, no white space. Equal values give equal bytes.
///
/// # Errors
/// When a number is not finite: such a value must be written as `null` with a warning beside it.
pub fn canonical_json<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    finite::check(value).map_err(CanonicalError)?;
    serde_jcs::to_vec(value).map_err(CanonicalError)
}

/// The digest of a value's canonical JSON: the identity of specifications and records.
///
/// # Errors
/// As [`canonical_json`].
pub fn digest_of<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    canonical_json(value).map(Digest::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_writes() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        assert!("ba78".parse::<Digest>().is_err());
    }

    #[test]
    fn canonical_json_ignores_the_order_of_keys_and_refuses_nan() {
        let a: serde_json::Value = serde_json::from_str(r#"{"b":1.0,"a":[1e2,"é"]}"#).unwrap();
        assert_eq!(String::from_utf8(canonical_json(&a).unwrap()).unwrap(), r#"{"a":[100,"é"],"b":1}"#);
        assert!(canonical_json(&f64::NAN).is_err());
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let map = std::collections::BTreeMap::from([("a", Some(number))]);
            assert!(canonical_json(&map).is_err() && canonical_json(&[[1.0, number]]).is_err(), "{number}");
            assert!(canonical_json(&(1, "a", number)).is_err() && canonical_json(&Ok::<_, ()>(number)).is_err());
            // safe to narrow: what is no number stays none
            assert!(canonical_json(&vec![number as f32]).is_err());
        }
        assert_eq!(canonical_json(&[Some(1.5), None]).unwrap(), b"[1.5,null]");
    }
}
