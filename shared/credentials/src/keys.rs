//! Keys that sign, and certificates that say whose they are.
//!
//! One key serves both signatures: that of the credential in an image (COSE, C2PA 2.2 §13.2) and that of a job's seal (DSSE). It is
//! P-256 (ES256) or Ed25519, the two that both formats and every verifier know.

use crate::chain::{Certificates, ChainError};
use domain::Digest;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// How a key signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; signatures are `r || s`, 64 bytes (RFC 9053 §2.1).
    Es256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

/// A key that cannot be used, or did not sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a private key in PKCS#8.
    #[error("the private key cannot be read: {0}; give it as PEM, PKCS#8, P-256 or Ed25519")]
    Unreadable(String),
    /// It is another's.
    #[error("the private key is not the one that the certificate is for")]
    NotOfCertificate,
    /// The certificates are not fit.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The program that signs failed.
    #[error("the signing command '{command}' failed: {detail}")]
    Command {
        /// What was run.
        command: String,
        /// Why.
        detail: String,
    },
    /// Another key has taken its place since.
    #[error("the key is no longer in use")]
    Rotated,
    /// Whoever signs for this process did not.
    #[error("no signature was given: {0}")]
    Refused(String),
}

/// Something that signs with one key, here or elsewhere.
pub trait Sign: Send + Sync {
    /// Its certificates.
    fn certificates(&self) -> &Certificates;

    /// The signature over `message`, in the raw form of [`Algorithm`].
    ///
    /// # Errors
    /// When the key does not sign.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// A way to sign that is shared.
pub type Signer = Arc<dyn Sign>;

/// A private key in this process.
pub struct LocalKey {
    certificates: Certificates,
    pair: Pair,
}

enum Pair {
    Es256(EcdsaKeyPair, SystemRandom),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("key_id", &self.certificates.key_id()).finish_non_exhaustive()
    }
}

impl LocalKey {
    /// The key of `private` (PEM, PKCS#8) with its certificates (PEM, the key's own first).
    ///
    /// # Errors
    /// When either is unreadable or they do not belong together.
    pub fn new(private: &str, certificates: &str) -> Result<Self, KeyError> {
        let certificates = Certificates::read(certificates)?;
        let pem = pem::parse(private.trim()).map_err(|error| KeyError::Unreadable(error.to_string()))?;
        if pem.tag() != "PRIVATE KEY" {
            return Err(KeyError::Unreadable(format!("it is a '{}'", pem.tag())));
        }
        let unreadable = |error: ring::error::KeyRejected| KeyError::Unreadable(error.to_string());
        let random = SystemRandom::new();
        let pair = match certificates.algorithm() {
            Algorithm::Es256 => {
                let scheme = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Pair::Es256(EcdsaKeyPair::from_pkcs8(scheme, pem.contents(), &random).map_err(unreadable)?, random)
            }
            Algorithm::Ed25519 => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(pem.contents()).map_err(unreadable)?)
            }
        };
        let public = match &pair {
            Pair::Es256(pair, _) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        if public != certificates.public_key() {
            return Err(KeyError::NotOfCertificate);
        }
        Ok(Self { certificates, pair })
    }
}

impl Sign for LocalKey {
    fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Es256(pair, random) => pair
                .sign(random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Refused("the system gives no random numbers".to_owned())),
        }
    }
}

/// A key that another program keeps: a hardware module, a key service. It is run once a signature, gets the message on its standard
/// input and answers with the raw signature on its standard output.
#[derive(Clone, Debug)]
pub struct CommandKey {
    certificates: Certificates,
    command: String,
}

impl CommandKey {
    /// The key that `command` (run by `sh -c`) signs with, for these certificates (PEM, the key's own first).
    ///
    /// # Errors
    /// When the certificates are not fit.
    pub fn new(command: impl Into<String>, certificates: &str) -> Result<Self, KeyError> {
        Ok(Self { certificates: Certificates::read(certificates)?, command: command.into() })
    }

    fn failed(&self, detail: impl fmt::Display) -> KeyError {
        KeyError::Command { command: self.command.clone(), detail: detail.to_string() }
    }
}

impl Sign for CommandKey {
    fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.command]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().map_err(|error| self.failed(error))?;
        let mut input = child.stdin.take().ok_or_else(|| self.failed("it takes no input"))?;
        // A message is a few kilobytes, less than a pipe holds: this cannot wait for the program's output. One that reads none of
        // it is judged by what it answers.
        let _ = input.write_all(message);
        drop(input);
        let output = child.wait_with_output().map_err(|error| self.failed(error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().chars().take(200).collect::<String>();
            return Err(self.failed(format!("{} {said}", output.status)));
        }
        if !self.certificates.verifies(message, &output.stdout) {
            return Err(self.failed("what it answered is no signature by the certificate's key"));
        }
        Ok(output.stdout)
    }
}

impl<S: Sign + ?Sized> Sign for Arc<S> {
    fn certificates(&self) -> &Certificates {
        (**self).certificates()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        (**self).sign(message)
    }
}

/// The key that settings name, if they do: certificates with a private key, or with a command that signs.
///
/// # Errors
/// When they do not belong together, or one of them is missing.
pub fn configured(
    certificates: Option<&str>,
    private_key: Option<&str>,
    command: Option<&str>,
) -> Result<Option<Signer>, KeyError> {
    let incomplete =
        |what: &str| KeyError::Unreadable(format!("{what} (signing_certificate, signing_key, signing_command)"));
    match (certificates, private_key, command) {
        (None, None, None) => Ok(None),
        (Some(chain), Some(key), None) => Ok(Some(Arc::new(LocalKey::new(key, chain)?))),
        (Some(chain), None, Some(command)) => Ok(Some(Arc::new(CommandKey::new(command, chain)?))),
        (Some(_), None, None) => Err(incomplete("there are certificates, but neither a key nor a command that signs")),
        (Some(_), Some(_), Some(_)) => Err(incomplete("there are both a key and a command that signs")),
        (None, _, _) => Err(incomplete("there is a key or a command, but no certificate")),
    }
}

/// The id of a public key: SHA-256 over its SubjectPublicKeyInfo (DER), as DSSE envelopes name it.
pub type KeyId = Digest;
