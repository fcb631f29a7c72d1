//! DSSE envelopes (secure-systems-lab/dsse, protocol v1.0.2) around in-toto statements (attestation v1): how a job's files are sealed.

use crate::chain::{Anchors, Certificates, Distrust};
use crate::keys::{Algorithm, KeyError, KeyId, Sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use domain::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Type of the payload.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Type of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A signed payload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// The statement's bytes, base64.
    pub payload: String,
    /// Who signed them.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature {
    /// The key: SHA-256 of its SubjectPublicKeyInfo.
    pub keyid: String,
    /// Base64. ECDSA signatures are in DER, as `cosign` and `securesystemslib` expect.
    pub sig: String,
    /// The key's certificates, PEM: with the authority's anchor at hand nothing else is needed to verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
}

/// An in-toto statement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The files it speaks of.
    pub subject: Vec<Subject>,
    /// What kind of thing it says.
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
}

/// A file named by its digest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Digests by algorithm; `sha256` is always there.
    pub digest: BTreeMap<String, String>,
}

impl Subject {
    /// A file of this SHA-256.
    pub fn new(name: impl Into<String>, sha256: Digest) -> Self {
        Self { name: name.into(), digest: BTreeMap::from([("sha256".to_owned(), sha256.to_string())]) }
    }

    /// Its SHA-256, if it is given.
    pub fn sha256(&self) -> Option<Digest> {
        self.digest.get("sha256")?.parse().ok()
    }
}

/// An envelope that proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// Not an envelope of ours.
    #[error("the seal cannot be read: {0}")]
    Unreadable(String),
    /// No signature holds.
    #[error("no signature of the seal holds: its payload or its signature was changed")]
    BadSignature,
    /// A signature holds, and the key is nobody's.
    #[error("the seal is signed by key {key_id}, which nothing vouches for: {detail}")]
    UnknownKey {
        /// The key.
        key_id: String,
        /// Why it is not trusted.
        detail: String,
    },
}

/// What verifying an envelope gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Sealed {
    /// What was signed.
    pub statement: Statement,
    /// The key.
    pub key_id: KeyId,
    /// Whose it is.
    pub signed_by: String,
    /// Whether an anchor vouches for the key; unknown without anchors.
    pub trust: Option<Result<(), Distrust>>,
}

/// DSSE's pre-authentication encoding of a payload: `DSSEv1 SP LEN(type) SP type SP LEN(body) SP body`.
pub fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Seals a statement.
///
/// # Errors
/// When the key does not sign.
pub fn seal(statement: &Statement, key: &dyn Sign) -> Result<Envelope, KeyError> {
    // safe because a statement holds no map whose keys are not texts
    let payload = serde_json::to_vec(statement).expect("a statement has a JSON form");
    let raw = key.sign(&pre_authentication(PAYLOAD_TYPE, &payload))?;
    let certificates = key.certificates();
    let sig = match certificates.algorithm() {
        Algorithm::Es256 => {
            der_of(&raw).ok_or_else(|| KeyError::Refused("its signature has a wrong length".to_owned()))?
        }
        Algorithm::Ed25519 => raw,
    };
    let signature = Signature {
        keyid: certificates.key_id().to_string(),
        sig: STANDARD.encode(sig),
        cert: Some(certificates.pem_without_anchors()),
    };
    Ok(Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: STANDARD.encode(payload),
        signatures: vec![signature],
    })
}

/// Verifies an envelope. The key comes from the envelope's certificates or from `known`, by its id; `anchors` vouch for it `at` the
/// time it was made.
///
/// # Errors
/// When it is unreadable or no signature holds.
pub fn open(
    envelope: &[u8],
    known: &[Certificates],
    anchors: &Anchors,
    at: Option<DateTime<Utc>>,
) -> Result<Sealed, SealError> {
    let unreadable = |error: &dyn std::fmt::Display| SealError::Unreadable(error.to_string());
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(|e| unreadable(&e))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(SealError::Unreadable(format!("its payload is '{}'", envelope.payload_type)));
    }
    let payload = STANDARD.decode(&envelope.payload).map_err(|e| unreadable(&e))?;
    let statement: Statement = serde_json::from_slice(&payload).map_err(|e| unreadable(&e))?;
    if statement.kind != STATEMENT_TYPE {
        return Err(SealError::Unreadable(format!("its statement is '{}'", statement.kind)));
    }
    let message = pre_authentication(&envelope.payload_type, &payload);
    let mut unknown = None;
    for signature in &envelope.signatures {
        let inside = signature.cert.as_deref().and_then(|pem| Certificates::read(pem).ok());
        let inside = inside.filter(|chain| chain.key_id().to_string() == signature.keyid);
        let listed = known.iter().find(|chain| chain.key_id().to_string() == signature.keyid).cloned();
        let Some(chain) = listed.or(inside) else {
            unknown = Some(signature.keyid.clone());
            continue;
        };
        if !holds(&chain, &message, signature) {
            continue;
        }
        let trust = (!anchors.is_empty()).then(|| chain.trusted(anchors, at.unwrap_or_else(Utc::now)));
        let (key_id, signed_by) = (chain.key_id(), chain.subject().to_owned());
        return Ok(Sealed { statement, key_id, signed_by, trust });
    }
    Err(match unknown {
        Some(key_id) => SealError::UnknownKey { key_id, detail: "its public key is not at hand".to_owned() },
        None => SealError::BadSignature,
    })
}

fn holds(chain: &Certificates, message: &[u8], signature: &Signature) -> bool {
    let Ok(sig) = STANDARD.decode(&signature.sig) else { return false };
    let raw = match chain.algorithm() {
        Algorithm::Es256 => raw_of(&sig),
        Algorithm::Ed25519 => Some(sig),
    };
    raw.is_some_and(|raw| chain.verifies(message, &raw))
}

/// `r || s` as DER: SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 §2.2.3).
fn der_of(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() != 64 {
        return None;
    }
    let integer = |number: &[u8]| {
        let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1);
        let digits = &number[first..];
        let sign = usize::from(digits[0] >= 0x80);
        // Safe to narrow: at most 33.
        [&[2, (digits.len() + sign) as u8], &[0_u8; 1][..sign], digits].concat()
    };
    let body = [integer(&raw[..32]), integer(&raw[32..])].concat();
    Some([&[0x30, body.len() as u8], body.as_slice()].concat())
}

/// The reverse; none if it is not that.
fn raw_of(der: &[u8]) -> Option<Vec<u8>> {
    let (&[0x30, length], mut rest) = der.split_first_chunk::<2>()? else { return None };
    if rest.len() != usize::from(length) {
        return None;
    }
    let mut raw = Vec::with_capacity(64);
    for _ in 0..2 {
        let (&[2, length], more) = rest.split_first_chunk::<2>()? else { return None };
        let (digits, after) = more.split_at_checked(usize::from(length))?;
        let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
        raw.extend(std::iter::repeat_n(0, 32_usize.checked_sub(digits.len())?));
        raw.extend(digits);
        rest = after;
    }
    rest.is_empty().then_some(raw)
}
