//! Seals: any change of the statement, the signature or the key is seen.

use crate::fixture::keys;
use chrono::{Duration, Utc};
use credentials::dsse::{self, Envelope, STATEMENT_TYPE, SealError, Signature, Statement, Subject};
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
fn every_byte_of_an_envelope_counts() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let key = LocalKey::new(&issued.private_key, &issued.chain).unwrap();
    let envelope = dsse::seal(&statement("a"), &key).unwrap();
    let opened = |envelope: &Envelope| dsse::open(&serde_json::to_vec(envelope).unwrap(), &[], &anchors, None);
    let flips = |text: &str| -> Vec<String> {
        let other = |at: usize, bit: u8| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= bit;
            String::from_utf8(bytes).unwrap()
        };
        (0..text.len()).flat_map(|at| [1, 2, 32].map(|bit| other(at, bit))).collect()
    };
    for payload in flips(&envelope.payload) {
        assert!(opened(&Envelope { payload: payload.clone(), ..envelope.clone() }).is_err(), "{payload}");
    }
    for payload_type in flips(&envelope.payload_type) {
        assert!(opened(&Envelope { payload_type, ..envelope.clone() }).is_err());
    }
    let signature = &envelope.signatures[0];
    let with = |signature| Envelope { signatures: vec![signature], ..envelope.clone() };
    for sig in flips(&signature.sig) {
        assert_eq!(
            opened(&with(Signature { sig: sig.clone(), ..signature.clone() })),
            Err(SealError::BadSignature),
            "{sig}"
        );
    }
    for keyid in flips(&signature.keyid) {
        let changed = opened(&with(Signature { keyid, ..signature.clone() }));
        assert!(matches!(changed, Err(SealError::UnknownKey { .. })), "{changed:?}");
    }
    let honest = serde_json::to_vec(&envelope).unwrap();
    let pem = signature.cert.clone().unwrap();
    let der = pem::parse(&pem).unwrap().into_contents();
    for at in 0..der.len() {
        let mut other = der.clone();
        other[at] ^= 1;
        let cert = Some(pem::encode(&pem::Pem::new("CERTIFICATE", other)));
        let changed = opened(&with(Signature { cert, ..signature.clone() }));
        // what a verifier reads of a certificate is signed; what it does not may differ
        let same = |sealed: &dsse::Sealed| *sealed == dsse::open(&honest, &[], &anchors, None).unwrap();
        assert!(
            !matches!(&changed, Ok(sealed) if sealed.trust == Some(Ok(())) && !same(sealed)),
            "byte {at}: {changed:?}"
        );
    }
    for cert in flips(&pem) {
        // the frame of a PEM may be written otherwise; what it holds may not
        if let Ok(sealed) = opened(&with(Signature { cert: Some(cert), ..signature.clone() })) {
            assert!(sealed.trust != Some(Ok(())) || sealed.statement == statement("a"));
        }
    }
    assert!(opened(&Envelope { signatures: Vec::new(), ..envelope.clone() }).is_err());
    // beside a forged signature the true one holds, whatever stands first
    let forged = Signature { sig: String::new(), ..signature.clone() };
    assert!(opened(&Envelope { signatures: vec![forged, signature.clone()], ..envelope.clone() }).is_ok());
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
