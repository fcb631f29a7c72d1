//! Seals, and the keys that verify an installation's signatures.

use chrono::{DateTime, Utc};
use domain::Digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The seals of a job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobSeals {
    /// Newest first: a job that went on after it had ended is sealed again.
    pub seals: Vec<JobSeal>,
}

/// What a job came to when it ended, signed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobSeal {
    /// The end that it seals.
    pub finished_at: DateTime<Utc>,
    /// When it was made.
    pub sealed_at: DateTime<Utc>,
    /// The key that signed it.
    pub key_id: Digest,
    /// SHA-256 of the DSSE envelope around the in-toto statement: fetch it as a blob.
    pub attestation: Digest,
    /// The files that the statement names.
    pub files: Vec<SealedFile>,
    /// Results in them.
    pub results: i64,
    /// Failures in them.
    pub failures: i64,
}

/// A sealed file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SealedFile {
    /// Its name.
    pub name: String,
    /// Its SHA-256: fetch it as a blob.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

/// What verifies an installation's signatures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// Every key that ever signed, newest first.
    pub keys: Vec<SigningKey>,
}

/// A key that signs, or did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SigningKey {
    /// SHA-256 of the public key's SubjectPublicKeyInfo (DER): `keyid` in DSSE envelopes.
    pub key_id: Digest,
    /// Whether it signs now.
    pub in_use: bool,
    /// Whose it is, as its certificate says.
    pub subject: String,
    /// The public key, PEM.
    pub public_key: String,
    /// Its certificates, PEM, its own first.
    pub certificates: String,
    /// The root that vouches for it, PEM, for an installation's own authority.
    pub anchor: Option<String>,
    /// Since when it signs.
    pub created_at: DateTime<Utc>,
    /// When it was replaced.
    pub retired_at: Option<DateTime<Utc>>,
}
