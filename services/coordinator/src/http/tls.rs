//! TLS of the HTTP interface itself, for installations without a proxy before it: a certificate and its key in two files, which are
//! looked at again, so that renewing them takes no restart. What is in them now is used until what replaces it is whole.

use crate::config::Tls;
use anyhow::Context as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Between two looks at the files. Renewals come weeks ahead of the end.
const LOOK: Duration = Duration::from_secs(30);

/// What connections are encrypted with.
#[derive(Debug)]
pub struct Certificates {
    files: Tls,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is missing or holds something else, or when the key is not the certificate's.
    pub fn open(files: &Tls) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(crypto::ring::default_provider());
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        Ok(Arc::new(Self { files: files.clone(), provider, current }))
    }

    /// What turns a connection into an encrypted one. HTTP/1.1 is all that is spoken in it.
    ///
    /// # Errors
    /// When the cryptography does not know the versions of TLS that are allowed (1.2 and 1.3).
    pub fn acceptor(self: &Arc<Self>) -> anyhow::Result<TlsAcceptor> {
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Looks at the files from time to time, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            match self.look() {
                Ok(true) => tracing::info!(file = %self.files.certificate.display(), "a new certificate is in use"),
                Ok(false) => {}
                // a key may be written a moment before its certificate
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "the certificate of the HTTP interface cannot be read again; the one before stays in use"
                ),
            }
        }
    }

    /// Takes what is in the files now; true if that is another certificate than before.
    fn look(&self) -> anyhow::Result<bool> {
        let read = read(&self.files, &self.provider)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let other = current.cert != read.cert;
        if other {
            *current = Arc::new(read);
        }
        Ok(other)
    }
}

impl ResolvesServerCert for Certificates {
    /// The one there is: a coordinator has one name.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &Tls, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{certificate} holds no certificates in PEM"))?;
    anyhow::ensure!(
        !chain.is_empty(),
        "{certificate} holds no certificate; it takes the server's own first, then its issuers"
    );
    let private =
        PrivateKeyDer::from_pem_file(&files.key).with_context(|| format!("{key} holds no private key in PEM"))?;
    CertifiedKey::from_der(chain, private, provider).with_context(|| format!("{key} is not the key of {certificate}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::generate_simple_self_signed;
    use std::path::Path;

    fn write(folder: &Path) -> Tls {
        let made = generate_simple_self_signed(["coordinator.test".to_owned()]).unwrap();
        let files = Tls { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn a_new_certificate_is_taken_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        let certificates = Certificates::open(&files).unwrap();
        assert!(!certificates.look().unwrap(), "nothing has changed");
        let before = Arc::clone(&certificates.current.read().unwrap());

        let key = std::fs::read(&files.key).unwrap();
        write(folder.path());
        let new_key = std::fs::read(&files.key).unwrap();
        std::fs::write(&files.key, key).unwrap();
        assert!(certificates.look().unwrap_err().to_string().contains("is not the key of"));
        assert_eq!(certificates.current.read().unwrap().cert, before.cert);

        std::fs::write(&files.key, new_key).unwrap();
        assert!(certificates.look().unwrap());
        assert_ne!(certificates.current.read().unwrap().cert, before.cert);
    }

    #[test]
    fn files_that_hold_something_else_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path());
        let said = |files: &Tls| format!("{:#}", Certificates::open(files).unwrap_err());
        let empty = Tls { certificate: folder.path().join("empty"), ..files.clone() };
        std::fs::write(&empty.certificate, "").unwrap();
        assert!(said(&empty).contains("empty holds no certificate"), "{}", said(&empty));
        let missing = Tls { key: folder.path().join("missing.key"), ..files.clone() };
        assert!(said(&missing).contains("missing.key"), "{}", said(&missing));
        let exchanged = Tls { certificate: files.key.clone(), key: files.certificate };
        assert!(said(&exchanged).contains("tls.key holds no certificate"), "{}", said(&exchanged));
    }
}
