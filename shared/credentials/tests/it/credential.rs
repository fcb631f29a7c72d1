//! Content Credentials: signed, verified with the right anchor only, and broken by any change.

use crate::fixture::{dressed, issuer, keys, picture, pictures, record, written};
use chrono::Utc;
use credentials::credential::credential_of_source;
use credentials::{
    Anchors, Authority, Check, CommandKey, Container, EmbedError, Ingredient, Issuer, KeyError, Level, LocalKey, State,
    Told, check_credential, check_file, extract_record, read_credential, read_told, strip_record, xmp_of,
};
use domain::record::{Detail, WrittenRecord};
use std::sync::Arc;

const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };

fn signed(plain: &[u8], record: &WrittenRecord, detail: Detail, issuer: &Issuer) -> Vec<u8> {
    issuer.issue(&dressed(plain, record, detail), record, detail, SOURCE).unwrap()
}

#[test]
fn every_format_is_signed_and_holds_with_our_anchor_and_only_so() {
    let (authority, issued) = keys();
    let (anchors, none) = (Anchors::read(&authority.anchor).unwrap(), Anchors::default());
    let stranger = Anchors::read(&Authority::create(Utc::now()).unwrap().anchor).unwrap();
    let issuer = issuer(&issued);
    for (container, plain) in pictures() {
        let record = written(&record(&plain));
        let file = signed(&plain, &record, Detail::Full, &issuer);
        let name = container.name();
        assert!(file.len() < plain.len() + record.text().len() + 8192, "{name}: {} bytes", file.len() - plain.len());
        assert_eq!(strip_record(&file).unwrap(), strip_record(&plain).unwrap(), "{name}");
        assert_eq!(extract_record(&file).unwrap().1, record.text().as_bytes(), "{name}");
        let (findings, told) = check_file(&file);
        assert!(findings.iter().all(|f| f.result == Check::Pass), "{name}: {findings:?}");
        let (findings, credential) = check_credential(&file, told.as_ref(), &anchors);
        assert!(findings.iter().all(|f| f.result == Check::Pass) && findings.len() == 3, "{name}: {findings:?}");
        let credential = credential.unwrap();
        assert_eq!(credential.record.unwrap().record_digest, record.digest(), "{name}");
        assert_eq!(credential.ingredients, [("é.png".to_owned(), false)], "{name}");
        assert!(credential.digital_source_type.unwrap().ends_with("trainedAlgorithmicMedia"), "{name}");
        assert_eq!(read_credential(&file, &none).unwrap().state, State::Valid, "{name}");
        let (findings, _) = check_credential(&file, None, &stranger);
        assert!(findings.iter().any(|f| f.check == "trust" && f.failed()), "{name}: {findings:?}");
        assert!(xmp_of(&file).unwrap()[0].contains("trainedAlgorithmicMedia"), "{name}");
    }
}

#[test]
fn every_byte_counts() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let issuer = issuer(&issued);
    for (container, plain) in pictures() {
        let file = signed(&plain, &written(&record(&plain)), Detail::Full, &issuer);
        let missed: Vec<_> = (20..file.len()).step_by(11).filter(|at| !noticed(&file, *at, &anchors)).collect();
        // The frame around a credential and the zeros that it is padded with are covered by no signature: a PNG's check sums cover
        // them, JPEG and WebP have none.
        let begins = |mark: &[u8]| file.windows(mark.len()).position(|part| part == mark).unwrap();
        let credential = match container {
            Container::Png => 0..0,
            Container::Jpeg => {
                let at = begins(b"\xff\xeb");
                at..at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]))
            }
            Container::WebP => begins(b"C2PA")..file.len(),
        };
        let outside: Vec<_> = missed.into_iter().filter(|at| !credential.contains(at)).collect();
        assert!(outside.is_empty(), "{outside:?} of the {} can be changed unnoticed", container.name());
    }
}

fn noticed(file: &[u8], at: usize, anchors: &Anchors) -> bool {
    let mut changed = file.to_vec();
    changed[at] ^= 1;
    let (bytes, told) = check_file(&changed);
    let (credential, _) = check_credential(&changed, told.as_ref(), anchors);
    bytes.iter().chain(&credential).any(credentials::Finding::failed)
}

#[test]
fn what_may_not_leave_does_not_leave() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let plain = picture(1);
    let mut secret = record(&plain);
    secret.recipe.text.target = "Zaphod".to_owned();
    secret.links.project = "Magrathea".to_owned();
    secret.recipe_digest = domain::digest_of(&secret.recipe).unwrap();
    let record = written(&secret);
    let holds = |file: &[u8], word: &str| file.windows(word.len()).any(|part| part == word.as_bytes());
    for (detail, text, project) in
        [(Detail::Minimal, false, false), (Detail::Standard, true, false), (Detail::Full, true, true)]
    {
        let file = signed(&plain, &record, detail, &issuer(&issued));
        assert_eq!((holds(&file, "Zaphod"), holds(&file, "Magrathea")), (text, project), "{detail:?}");
        let (findings, told) = check_file(&file);
        assert!(findings.iter().all(|f| f.result == Check::Pass), "{findings:?}");
        assert_eq!(told.as_ref().unwrap().digest(), record.digest());
        let (findings, _) = check_credential(&file, told.as_ref(), &anchors);
        assert!(findings.iter().all(|f| f.result == Check::Pass), "{findings:?}");
        match (detail, read_told(&file).unwrap()) {
            (Detail::Full, told) => assert!(matches!(told, Told::Record { .. })),
            (_, Told::Excerpt(excerpt)) => assert_eq!(excerpt.recipe.is_some(), detail == Detail::Standard),
            (_, Told::Record { .. }) => panic!("the record left at {detail:?}"),
        }
        if detail != Detail::Full {
            assert!(matches!(extract_record(&file), Err(EmbedError::Excerpt(digest)) if digest == record.digest()));
        }
    }
}

#[test]
fn a_source_keeps_its_own_credential_inside_the_new_one() {
    let (_, issued) = keys();
    let issuer = issuer(&issued);
    let plain = picture(1);
    let source = signed(&plain, &written(&record(&plain)), Detail::Full, &issuer);
    assert_eq!(credential_of_source(&source, "image/png"), (true, Some(written(&record(&plain)).digest())));
    assert_eq!(credential_of_source(&plain, "image/png"), (false, None));
    assert_eq!(credential_of_source(b"BM", "image/bmp"), (false, None));
    let other = picture(2);
    let record = written(&record(&other));
    let ingredient = Ingredient { media_type: "image/png", credentialed: Some(&source) };
    let file = issuer.issue(&dressed(&other, &record, Detail::Full), &record, Detail::Full, ingredient).unwrap();
    let credential = read_credential(&file, &Anchors::default()).unwrap();
    assert_eq!((credential.state, credential.ingredients.len()), (State::Valid, 1));
    assert!(credential.ingredients[0].1, "{credential:?}");
}

#[test]
fn stripped_doubled_and_foreign_credentials_are_told_apart() {
    let (_, issued) = keys();
    let issuer = issuer(&issued);
    let plain = picture(1);
    let record = written(&record(&plain));
    let bare = dressed(&plain, &record, Detail::Full);
    let (findings, _) = check_credential(&bare, None, &Anchors::default());
    let Check::Fail { detail } = &findings[0].result else { panic!("{findings:?}") };
    assert!(detail.contains("no credential"), "{detail}");
    let file = signed(&plain, &record, Detail::Full, &issuer);
    let at = file.windows(4).position(|w| w == b"caBX").unwrap() - 4;
    let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize + 12;
    let mut doubled = file.clone();
    doubled.splice(at..at, file[at..at + length].to_vec());
    let (findings, _) = check_credential(&doubled, None, &Anchors::default());
    assert!(findings[0].failed() && findings[0].level == Level::Credential, "{findings:?}");
    // a picture whose record is another's: the credential holds, and names another record
    let mut other = (*record).clone();
    other.execution.version = "9".to_owned();
    let other = written(&other);
    let swapped = issuer.issue(&dressed(&plain, &other, Detail::Full), &record, Detail::Full, SOURCE).unwrap();
    let (findings, _) = check_credential(&swapped, read_told(&swapped).ok().as_ref(), &Anchors::default());
    assert!(findings.iter().any(|f| f.check == "digest" && f.failed()), "{findings:?}");
}

#[test]
fn wrong_keys_are_refused_by_name() {
    let ((_, one), (_, two)) = (keys(), keys());
    assert!(matches!(LocalKey::new(&one.private_key, &two.chain), Err(KeyError::NotOfCertificate)));
    assert!(matches!(LocalKey::new("no key", &one.chain), Err(KeyError::Unreadable(_))));
    assert!(matches!(LocalKey::new(&one.chain, &one.chain), Err(KeyError::Unreadable(_))));
    assert!(matches!(LocalKey::new(&one.private_key, "no certificate"), Err(KeyError::Chain(_))));
}

#[test]
fn a_program_that_keeps_the_key_signs_or_says_why_not() {
    let (authority, issued) = keys();
    let sign = |command: &str| {
        let issuer = Issuer::new(Arc::new(CommandKey::new(command, &issued.chain).unwrap())).unwrap();
        let plain = picture(1);
        let record = written(&record(&plain));
        issuer.issue(&dressed(&plain, &record, Detail::Full), &record, Detail::Full, SOURCE)
    };
    let failed = |command: &str| match sign(command) {
        Err(credentials::CredentialError::Key(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(failed("echo the token is locked >&2; exit 3").contains("the token is locked"));
    assert!(failed("cat").contains("no signature by the certificate's key"));
    // openssl answers in DER; the two numbers are cut out of it, as a user's script would
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    std::fs::write(&key, &issued.private_key).unwrap();
    let numbers =
        "openssl asn1parse -inform DER | sed -n 's/.*INTEGER *://p' | while read n; do printf '%64s' $n; done";
    let hex = "tr ' ' 0 | python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))'";
    let file = sign(&format!("openssl dgst -sha256 -sign {} | {numbers} | {hex}", key.display())).unwrap();
    assert_eq!(Container::of(&file).unwrap(), Container::Png);
    let anchors = Anchors::read(&authority.anchor).unwrap();
    assert_eq!(read_credential(&file, &anchors).unwrap().state, State::Trusted);
}
