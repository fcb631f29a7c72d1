//! Whether the HTTP interface is encrypted by the coordinator itself.

use super::{ConfigError, Settings};
use std::path::PathBuf;

/// The files of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// Certificates, PEM: the server's own first, then its issuers.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

impl Settings {
    /// The files, where both are named; neither where a proxy does it.
    pub(super) fn tls(&self) -> Result<Option<Tls>, ConfigError> {
        let missing = |name, flag, env| ConfigError::Missing { name, flag, env };
        match (self.tls_certificate_file.clone(), self.tls_key_file.clone()) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key })),
            (Some(_), None) => Err(missing("tls_key_file", "tls-key-file", "CFX_TLS_KEY_FILE")),
            (None, Some(_)) => Err(missing("tls_certificate_file", "tls-certificate-file", "CFX_TLS_CERTIFICATE_FILE")),
        }
    }
}
