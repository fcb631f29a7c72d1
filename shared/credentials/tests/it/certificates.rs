//! Credentials that hold in themselves and prove nothing: of other programs, of certificates that do not hold.

use crate::fixture::{dressed, issuer, keys, picture, record, written};
use chrono::Utc;
use credentials::dsse::{self, STATEMENT_TYPE, Statement, Subject};
use credentials::{
    Anchors, Authority, Certificates, Check, CommandKey, CredentialError, Finding, Ingredient, Issued, Issuer,
    KeyError, Level, LocalKey, State, check_credential, check_file, read_credential,
};
use domain::Digest;
use domain::record::Detail;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };

/// A certificate of `authority` that a test has changed.
fn issued_by(authority: &Authority, change: impl Fn(&mut CertificateParams)) -> Issued {
    let key = KeyPair::from_pem(&authority.private_key).unwrap();
    let ours = rcgen::Issuer::from_ca_cert_pem(&authority.anchor, key).unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "odd one");
    parameters.distinguished_name.push(DnType::OrganizationName, "test");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    parameters.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    let days = |n: u64| Duration::from_secs(n * 86_400);
    (parameters.not_before, parameters.not_after) = ((now - days(20)).into(), (now + days(20)).into());
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    let own = parameters.signed_by(&key, &ours).unwrap().pem();
    Issued { chain: format!("{own}{}", authority.anchor), private_key: key.serialize_pem() }
}

fn signed_with(issued: &Issued) -> Result<Vec<u8>, CredentialError> {
    let plain = picture(1);
    let record = written(&record(&plain));
    let issuer = Issuer::new(Arc::new(LocalKey::new(&issued.private_key, &issued.chain).unwrap()))?;
    issuer.issue(&dressed(&plain, &record, Detail::Full), &record, Detail::Full, SOURCE)
}

fn told_of(findings: &[Finding], check: &str) -> (Level, String) {
    let found = findings.iter().find(|f| f.check == check).unwrap();
    let Check::Fail { detail } = &found.result else { panic!("{found:?}") };
    (found.level, detail.clone())
}

#[test]
fn a_certificate_that_does_not_hold_signs_nothing_and_is_trusted_by_nobody() {
    let (authority, _) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let day = |n: i64| {
        let (at, span) = (SystemTime::now(), Duration::from_secs(n.unsigned_abs() * 86_400));
        if n < 0 { at - span } else { at + span }
    };
    let odd = |change: &dyn Fn(&mut CertificateParams)| issued_by(&authority, change);
    let expired = odd(&|p| p.not_after = day(-3).into());
    let early = odd(&|p| p.not_before = day(3).into());
    let purpose = odd(&|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let usage = odd(&|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    let authority_itself = odd(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    for (name, issued, why) in [
        ("expired", &expired, "not valid at time of signing"),
        ("not yet valid", &early, "not valid at time of signing"),
        ("for servers", &purpose, "lacks emailProtection"),
        ("for encryption", &usage, "lacks digitalSignature"),
        ("of an authority", &authority_itself, "authority's own"),
    ] {
        let refused = chain(&signed_with(issued).unwrap_err());
        assert!(refused.contains(why), "{name}: {refused}");
        // the same key under a seal, which is made elsewhere
        let key = LocalKey::new(&issued.private_key, &issued.chain).unwrap();
        let trust = dsse::open(&sealed(&key), &[], &anchors, None).unwrap().trust.unwrap();
        assert!(trust.is_err(), "{name}");
    }
    let sound = odd(&|_| {});
    let (findings, _) = check_credential(&signed_with(&sound).unwrap(), None, &anchors);
    assert!(findings.iter().all(|f| f.result == Check::Pass), "{findings:?}");
    let key = LocalKey::new(&sound.private_key, &sound.chain).unwrap();
    assert_eq!(dsse::open(&sealed(&key), &[], &anchors, None).unwrap().trust, Some(Ok(())));
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn sealed(key: &LocalKey) -> Vec<u8> {
    let statement = Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject::new("manifest.jsonl", Digest::of("a"))],
        predicate_type: "urn:counterfactory:seal:1".to_owned(),
        predicate: json!({}),
    };
    serde_json::to_vec(&dsse::seal(&statement, key).unwrap()).unwrap()
}

#[test]
fn what_was_signed_in_time_says_when_its_certificate_has_run_out() {
    let (authority, _) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let soon = SystemTime::now() + Duration::from_secs(4);
    let issued = issued_by(&authority, |p| p.not_after = soon.into());
    let file = signed_with(&issued).unwrap();
    while SystemTime::now() < soon + Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(check_file(&file).0.iter().all(|f| f.result == Check::Pass), "the bytes are what they are");
    for anchors in [&anchors, &Anchors::default()] {
        let (findings, credential) = check_credential(&file, None, anchors);
        let (level, detail) = told_of(&findings, "credential");
        assert!(level == Level::Credential && detail.contains("signingCredential.expired"), "{detail}");
        assert_eq!(credential.unwrap().state, State::Invalid);
        assert!(findings.iter().all(|f| f.check != "trust" || f.result != Check::Pass), "{findings:?}");
    }
}

#[test]
fn an_authority_that_has_expired_vouches_for_no_seal() {
    let long_ago = Authority::create(Utc::now() - chrono::Duration::days(366 * 21)).unwrap();
    let issued = issued_by(&long_ago, |_| {});
    let chain = Certificates::read(&issued.chain).unwrap();
    assert!(chain.trusted(&Anchors::read(&long_ago.anchor).unwrap(), Utc::now()).is_err());
}

#[test]
fn a_chain_in_the_wrong_order_is_refused_before_anything_is_signed() {
    let (authority, issued) = keys();
    let own = issued.chain.strip_suffix(&authority.anchor).unwrap();
    let turned = format!("{}{own}", authority.anchor);
    assert!(matches!(LocalKey::new(&issued.private_key, &turned), Err(KeyError::NotOfCertificate)));
    let key = CommandKey::new("cat", &turned).unwrap();
    let refused = Issuer::new(Arc::new(key)).unwrap_err();
    assert!(chain(&refused).contains("authority's own"), "{refused:?}");
    // with an authority in between, either order of what vouches will do
    let between = issued_by(&authority, |p| {
        p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        p.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        p.extended_key_usages.clear();
    });
    let middle = Authority {
        anchor: between.chain.strip_suffix(&authority.anchor).unwrap().to_owned(),
        private_key: between.private_key,
    };
    let leaf = issued_by(&middle, |_| {});
    let anchors = Anchors::read(&authority.anchor).unwrap();
    for pem in [format!("{}{}", leaf.chain, authority.anchor), leaf.chain.clone()] {
        assert_eq!(Certificates::read(&pem).unwrap().trusted(&anchors, Utc::now()), Ok(()));
    }
    // a leaf may vouch for nobody, whatever it signs
    let (_, plain_leaf) = keys();
    let not_an_authority = Authority { anchor: sole(&plain_leaf.chain), private_key: plain_leaf.private_key };
    let posing = issued_by(&not_an_authority, |_| {});
    assert!(Certificates::read(&posing.chain).unwrap().trusted(&anchors, Utc::now()).is_err());
}

fn sole(chain: &str) -> String {
    chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned()
}

/// What another program of the same installation, or a stranger, puts into a file with the library that everybody uses.
fn foreign(file: &[u8], issued: &Issued, assertions: &Value) -> Vec<u8> {
    let key = LocalKey::new(&issued.private_key, &issued.chain).unwrap();
    let chain = credentials::Sign::certificates(&key).pem_without_anchors();
    let sign = move |_: *const (), message: &[u8]| {
        credentials::Sign::sign(&key, message).map_err(|e| c2pa::Error::OtherError(e.to_string().into()))
    };
    let settings =
        json!({ "verify": { "verify_after_sign": false }, "builder": { "thumbnail": { "enabled": false } } });
    let settings = c2pa::settings::Settings::new().with_json(&settings.to_string()).unwrap();
    let signer = c2pa::CallbackSigner::new(sign, c2pa::SigningAlg::Es256, chain);
    let context = c2pa::Context::new().with_settings(settings).unwrap().with_signer(signer).into_shared();
    let definition = json!({
        "claim_generator_info": [{ "name": "Other\u{1b}[31mCamera", "version": "1" }],
        "assertions": assertions,
    });
    let mut builder =
        c2pa::Builder::from_shared_context(&context).with_definition(definition.to_string().as_str()).unwrap();
    let mut out = Cursor::new(Vec::new());
    builder.save_to_stream("image/png", &mut Cursor::new(file), &mut out).unwrap();
    out.into_inner()
}

#[test]
fn a_credential_of_another_program_is_none_of_ours_even_by_our_own_key() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let plain = picture(1);
    let record = written(&record(&plain));
    let created = json!({ "label": "c2pa.actions.v2", "data": { "actions": [{
        "action": "c2pa.created", "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture" }] } });
    let garbled = json!({ "label": "org.counterfactory.record", "data": { "record_digest": "no digest" } });
    for assertions in [json!([created]), json!([created, garbled])] {
        // on a bare picture, and around a record of ours
        for (carrier, recorded) in [(plain.clone(), false), (dressed(&plain, &record, Detail::Full), true)] {
            let file = foreign(&carrier, &issued, &assertions);
            let (bytes, told) = check_file(&file);
            assert_eq!(bytes.iter().any(Finding::failed), !recorded, "{bytes:?}");
            let (findings, credential) = check_credential(&file, told.as_ref(), &anchors);
            let (level, detail) = told_of(&findings, "credential");
            assert!(level == Level::Credential && detail.contains("not one of ours"), "{detail}");
            assert!(detail.contains("Other"), "{detail}");
            let credential = credential.unwrap();
            assert_eq!((credential.state, credential.record), (State::Trusted, None));
            assert!(!findings.iter().any(|f| f.level == Level::Record), "nothing is said of a record: {findings:?}");
        }
    }
    // a program that edits our output and signs it anew: ours is no longer what counts
    let ours = issuer(&issued).issue(&dressed(&plain, &record, Detail::Full), &record, Detail::Full, SOURCE).unwrap();
    let again = foreign(&ours, &issued, &json!([created]));
    let (findings, credential) = check_credential(&again, None, &anchors);
    assert!(findings.iter().any(Finding::failed), "{findings:?}");
    assert_eq!(credential.and_then(|c| c.record), None);
    assert_eq!(read_credential(&ours, &anchors).unwrap().state, State::Trusted);
}
