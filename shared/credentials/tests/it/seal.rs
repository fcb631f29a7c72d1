//! Seals: any change of the statement, the signature or the key is seen.

use crate::fixture::keys;
use chrono::{Duration, Utc};
use credentials::dsse::{self, Envelope, STATEMENT_TYPE, SealError, Statement, Subject};
use credentials::{Anchors, Authority, Certificates, Distrust, LocalKey};
use domain::Digest;
use serde_json::json;

fn statement(lines: &str) -> Statement {
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: vec![Subject::new("manifest.jsonl", Digest::of(lines))],
        predicate_type: "urn:counterfactory:seal:1".to_owned(),
        predicate: json!({ "job": "job_1" }),
    }
}

#[test]
fn a_seal_holds_for_its_statement_and_its_key() {
    let (authority, issued) = keys();
    let key = LocalKey::new(&issued.private_key, &issued.chain).unwrap();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let open = |envelope: &Envelope, known: &[Certificates], anchors: &Anchors| {
        dsse::open(&serde_json::to_vec(envelope).unwrap(), known, anchors, None)
    };
    // ECDSA's numbers have leading zeros in one of 128 signatures, which DER drops
    for _ in 0..300 {
        let sealed = open(&dsse::seal(&statement("a"), &key).unwrap(), &[], &anchors).unwrap();
        assert_eq!((sealed.statement, sealed.trust), (statement("a"), Some(Ok(()))));
    }
    let envelope = dsse::seal(&statement("a"), &key).unwrap();
    assert_eq!(open(&envelope, &[], &Anchors::default()).unwrap().trust, None);
    let mut changed = envelope.clone();
    changed.payload = dsse::seal(&statement("b"), &key).unwrap().payload;
    assert_eq!(open(&changed, &[], &anchors), Err(SealError::BadSignature));
    // a stranger's key under this key's id
    let (_, stranger) = keys();
    let stranger = LocalKey::new(&stranger.private_key, &stranger.chain).unwrap();
    let mut posing = dsse::seal(&statement("a"), &stranger).unwrap();
    assert!(matches!(open(&posing, &[], &anchors).unwrap().trust, Some(Err(Distrust::NoAnchor(_)))));
    posing.signatures[0].keyid = envelope.signatures[0].keyid.clone();
    assert!(matches!(open(&posing, &[], &anchors), Err(SealError::UnknownKey { .. })));
    posing.signatures[0].cert = envelope.signatures[0].cert.clone();
    assert_eq!(open(&posing, &[], &anchors), Err(SealError::BadSignature));
    // without the certificate inside, a list of known keys will do
    let mut bare = envelope.clone();
    bare.signatures[0].cert = None;
    assert!(matches!(open(&bare, &[], &anchors), Err(SealError::UnknownKey { .. })));
    let known = [Certificates::read(&issued.chain).unwrap()];
    assert_eq!(open(&bare, &known, &anchors).unwrap().trust, Some(Ok(())));
}

#[test]
fn a_key_is_trusted_through_its_authority_and_in_its_time() {
    let now = Utc::now();
    let (authority, issued) = keys();
    let chain = Certificates::read(&issued.chain).unwrap();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    assert_eq!(chain.trusted(&anchors, now), Ok(()));
    for at in [now - Duration::days(3), now + Duration::days(366 * 20)] {
        assert!(matches!(chain.trusted(&anchors, at), Err(Distrust::Time { .. })));
    }
    let stranger = Anchors::read(&Authority::create(now).unwrap().anchor).unwrap();
    assert!(matches!(chain.trusted(&stranger, now), Err(Distrust::NoAnchor(_))));
    // the leaf alone: the anchor itself has issued it
    let leaf = issued.chain.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
    assert_eq!(Certificates::read(leaf).unwrap().trusted(&anchors, now), Ok(()));
    // both anchors in one bundle
    let both = Anchors::read(&format!("{}{}", stranger.pem(), anchors.pem())).unwrap();
    assert_eq!(chain.trusted(&both, now), Ok(()));
    assert!(Anchors::read("").is_err() && Anchors::read("nonsense").is_err());
}
