//! A certificate authority of an installation's own, for those who have no certificate yet. Its signatures are as strong as any, but
//! only who is given its anchor can tell whose they are: public verifiers call them untrusted.

use chrono::{DateTime, Datelike as _, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// How long its certificates hold, years. Without a time stamp from elsewhere an expired certificate spoils every signature it made,
/// and data sets are kept for long.
const YEARS: i32 = 20;
const ORGANISATION: &str = "Counterfactory installation";

/// The authority: what it needs to make another key, and its anchor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    /// Its own certificate, PEM: what verifiers are given.
    pub anchor: String,
    /// Its private key, PEM (PKCS#8).
    pub private_key: String,
}

/// A key that an authority vouches for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// Its certificates, PEM: its own, then the authority's.
    pub chain: String,
    /// Its private key, PEM (PKCS#8).
    pub private_key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn create(now: DateTime<Utc>) -> Result<Self, rcgen::Error> {
        let mut parameters =
            parameters(&format!("Counterfactory authority of {}", now.format("%Y-%m-%d %H:%M:%S")), now);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let anchor = parameters.self_signed(&key)?.pem();
        Ok(Self { anchor, private_key: key.serialize_pem() })
    }

    /// Makes a key for signing and vouches for it.
    ///
    /// # Errors
    /// When this authority's own key is unreadable, or the system gives no random numbers.
    pub fn issue(&self, now: DateTime<Utc>) -> Result<Issued, rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(&self.anchor, KeyPair::from_pem(&self.private_key)?)?;
        let mut parameters = parameters(&format!("Counterfactory signer of {}", now.format("%Y-%m-%d %H:%M:%S")), now);
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // The only purpose that verifiers of C2PA accept without being told so.
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let own = parameters.signed_by(&key, &issuer)?.pem();
        Ok(Issued { chain: format!("{own}{}", self.anchor), private_key: key.serialize_pem() })
    }
}

fn parameters(name: &str, now: DateTime<Utc>) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.distinguished_name.push(DnType::OrganizationName, ORGANISATION);
    // Clocks differ: what is signed in the next minute elsewhere must not be from before the certificate.
    let from = now - chrono::Duration::days(1);
    // Safe to narrow: months and days. The 28th is in every month.
    let (month, day) = (from.month() as u8, from.day().min(28) as u8);
    parameters.not_before = date_time_ymd(from.year(), month, day);
    parameters.not_after = date_time_ymd(from.year() + YEARS, month, day);
    parameters
}
