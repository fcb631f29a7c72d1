//! Certificate chains: which key they are for, what it signed, and whether an anchor stands behind it.

use crate::keys::{Algorithm, KeyId};
use chrono::{DateTime, Utc};
use domain::Digest;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Not PEM, or not certificates.
    #[error("the certificates cannot be read: {0}; give them as PEM, the signing key's own first")]
    Unreadable(String),
    /// A key of another kind.
    #[error("the certificate of '{0}' is for neither a P-256 nor an Ed25519 key")]
    Algorithm(String),
    /// A key that was not made for signing.
    #[error("the certificate of '{0}' is not for signing: {1}")]
    Purpose(String, &'static str),
}

/// A chain: the signing key's own certificate, then those that vouch for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificates {
    pem: String,
    /// DER, the signing key's own first.
    der: Vec<Vec<u8>>,
    algorithm: Algorithm,
    public_key: Vec<u8>,
    key_id: KeyId,
    subject: String,
}

/// Why a chain is not trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Distrust {
    /// No anchor stands behind it.
    #[error("the certificate of '{0}' leads to none of the given anchors")]
    NoAnchor(String),
    /// At that time one of them did not hold.
    #[error("the certificate of '{subject}' is not valid at {at}: it holds from {from} to {to}")]
    Time {
        /// Whose.
        subject: String,
        /// When it was used.
        at: DateTime<Utc>,
        /// Its first second.
        from: String,
        /// Its last.
        to: String,
    },
    /// Its authority vouches for the key, but for another purpose.
    #[error("the certificate of '{0}' is not for signing: {1}")]
    Purpose(String, &'static str),
}

impl Certificates {
    /// Reads a chain of PEM certificates.
    ///
    /// # Errors
    /// When there is none, one is unreadable, or the first one's key is of another kind than [`Algorithm`] names.
    pub fn read(text: &str) -> Result<Self, ChainError> {
        let der = parse(text)?;
        let Some(first) = der.first() else {
            return Err(ChainError::Unreadable("there is none".to_owned()));
        };
        let leaf = certificate(first)?;
        let subject = leaf.subject().to_string();
        let key = leaf.public_key();
        let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        let algorithm = if key.algorithm.algorithm == OID_SIG_ED25519 {
            Algorithm::Ed25519
        } else if key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY && curve == Some(OID_EC_P256) {
            Algorithm::Es256
        } else {
            return Err(ChainError::Algorithm(subject));
        };
        let (public_key, key_id) = (key.subject_public_key.data.to_vec(), Digest::of(key.raw));
        Ok(Self { pem: text.to_owned(), algorithm, public_key, key_id, subject, der })
    }

    /// The certificates as they were read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The same as PEM without certificates that vouch for themselves: a verifier takes those from its anchors alone.
    pub fn pem_without_anchors(&self) -> String {
        let vouched = |der: &&Vec<u8>| certificate(der).is_ok_and(|c| c.subject() != c.issuer());
        let own = |(at, der): &(usize, &Vec<u8>)| *at == 0 || vouched(der);
        let kept = self.der.iter().enumerate().filter(own);
        kept.map(|(_, der)| pem::encode(&pem::Pem::new("CERTIFICATE", der.clone()))).collect()
    }

    /// How the key signs.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's id.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Whose key it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The raw public key: an uncompressed point, or 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The public key's SubjectPublicKeyInfo as PEM, which `cosign` and `openssl` read.
    pub fn public_key_pem(&self) -> String {
        let spki = certificate(&self.der[0]).map(|leaf| leaf.public_key().raw.to_vec()).unwrap_or_default();
        pem::encode(&pem::Pem::new("PUBLIC KEY", spki))
    }

    /// Whether the key is for signing, as C2PA 2.2 §14.5.1 understands it.
    ///
    /// # Errors
    /// What it lacks.
    pub fn for_signing(&self) -> Result<(), ChainError> {
        let lacking = purpose(&certificate(&self.der[0])?);
        lacking.map_or(Ok(()), |why| Err(ChainError::Purpose(self.subject.clone(), why)))
    }

    /// Whether `signature`, in the raw form of [`Algorithm`], is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key: UnparsedPublicKey<&[u8]> = match self.algorithm {
            Algorithm::Es256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public_key),
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.public_key),
        };
        key.verify(message, signature).is_ok()
    }

    /// Whether one of `anchors` stands behind the chain, and every certificate on the way held `at` that time.
    ///
    /// # Errors
    /// The first thing that is amiss.
    pub fn trusted(&self, anchors: &Anchors, at: DateTime<Utc>) -> Result<(), Distrust> {
        let given: Vec<_> = self.der.iter().chain(&anchors.der).filter_map(|der| certificate(der).ok()).collect();
        let own = self.der.len();
        let mut current = &given[0];
        if let Some(why) = purpose(current) {
            return Err(Distrust::Purpose(self.subject.clone(), why));
        }
        for _ in 0..given.len() {
            holds(current, at)?;
            let issued = |issuer: &&X509Certificate<'_>| {
                issuer.subject() == current.issuer() && current.verify_signature(Some(issuer.public_key())).is_ok()
            };
            let anchor = given[own..].iter().find(|a| a.as_raw() == current.as_raw() || issued(a));
            if let Some(anchor) = anchor {
                return holds(anchor, at);
            }
            let authority = |c: &&X509Certificate<'_>| c.is_ca() && c.as_raw() != current.as_raw();
            match given[..own].iter().filter(authority).find(issued) {
                Some(issuer) => current = issuer,
                None => break,
            }
        }
        Err(Distrust::NoAnchor(self.subject.clone()))
    }
}

/// What a certificate lacks to be one for signing. An authority that vouches for keys of many kinds must not make each of them a signer.
fn purpose(leaf: &X509Certificate<'_>) -> Option<&'static str> {
    let (usage, extended) = (leaf.key_usage().ok().flatten(), leaf.extended_key_usage().ok().flatten());
    if leaf.is_ca() {
        Some("it is an authority's own")
    } else if !usage.is_some_and(|usage| usage.value.digital_signature()) {
        Some("its key usage lacks digitalSignature")
    } else if !extended.is_some_and(|extended| extended.value.email_protection) {
        Some(
            "its extended key usage lacks emailProtection, the one purpose that verifiers of C2PA accept without being told so",
        )
    } else {
        None
    }
}

fn holds(certificate: &X509Certificate<'_>, at: DateTime<Utc>) -> Result<(), Distrust> {
    let validity = certificate.validity();
    let (from, to) = (validity.not_before, validity.not_after);
    if (from.timestamp()..=to.timestamp()).contains(&at.timestamp()) {
        return Ok(());
    }
    let subject = certificate.subject().to_string();
    Err(Distrust::Time { subject, at, from: from.to_string(), to: to.to_string() })
}

/// Root certificates that a verifier trusts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Anchors {
    pem: String,
    der: Vec<Vec<u8>>,
}

impl Anchors {
    /// Reads a bundle of PEM certificates.
    ///
    /// # Errors
    /// When one is unreadable, or there is none.
    pub fn read(text: &str) -> Result<Self, ChainError> {
        let der = parse(text)?;
        if der.is_empty() {
            return Err(ChainError::Unreadable("there is none".to_owned()));
        }
        for each in &der {
            certificate(each)?;
        }
        Ok(Self { pem: text.to_owned(), der })
    }

    /// The bundle as it was read.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// True if nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.der.is_empty()
    }
}

fn parse(text: &str) -> Result<Vec<Vec<u8>>, ChainError> {
    let unreadable = |error: pem::PemError| ChainError::Unreadable(error.to_string());
    let parts = pem::parse_many(text).map_err(unreadable)?;
    let certificates = parts.into_iter().filter(|part| part.tag() == "CERTIFICATE");
    Ok(certificates.map(pem::Pem::into_contents).collect())
}

fn certificate(der: &[u8]) -> Result<X509Certificate<'_>, ChainError> {
    let read = X509Certificate::from_der(der).map_err(|error| ChainError::Unreadable(error.to_string()))?;
    Ok(read.1)
}

impl TryFrom<String> for Certificates {
    type Error = ChainError;

    fn try_from(text: String) -> Result<Self, ChainError> {
        Self::read(&text)
    }
}

impl From<Certificates> for String {
    fn from(certificates: Certificates) -> Self {
        certificates.pem
    }
}
