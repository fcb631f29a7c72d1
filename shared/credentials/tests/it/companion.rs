//! Reconstructions and latents leave with a credential that says which record names them, and as what.

use crate::fixture::{dressed, issuer, keys, picture, record, written};
use credentials::{
    Accompanied, Anchors, Check, Companion, Ingredient, Level, State, check_companion, check_credential, check_named,
    read_told, strip_record, xmp_of,
};
use domain::Digest;
use domain::record::{Detail, Record, WrittenRecord};

const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };
const LATENT: &[u8] = b"a latent's bytes, of whatever form";

/// A record that names `reconstruction` and [`LATENT`].
fn naming(reconstruction: &[u8]) -> (Record, WrittenRecord) {
    let mut record = record(&picture(1));
    record.outcome.reconstruction = Digest::of(reconstruction);
    record.outcome.latent = Digest::of(LATENT);
    (record.clone(), written(&record))
}

fn passes(found: &Accompanied) -> bool {
    found.findings.len() == 3 && found.findings.iter().all(|finding| finding.result == Check::Pass)
}

#[test]
fn a_reconstruction_says_which_record_names_it_and_nothing_of_the_edit() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let plain = picture(9);
    let (record, written) = naming(&plain);
    let file = issuer(&issued).issue_reconstruction(&plain, &written, SOURCE).unwrap();
    assert_eq!(strip_record(&file).unwrap(), plain);
    assert!(read_told(&file).is_err(), "the record is the edit's");
    let notes = xmp_of(&file).unwrap();
    assert!(notes[0].contains("trainedAlgorithmicMedia") && !notes[0].contains("AIPromptInformation"), "{notes:?}");

    let found = check_companion(&file, None, &anchors).unwrap();
    assert!(passes(&found), "{found:?}");
    assert_eq!((found.companion, found.record), (Companion::Reconstruction, written.digest()));
    assert_eq!(check_named(found.companion, found.sha256, found.companion.of(&record)).result, Check::Pass);
    assert!(found.credential.digital_source_type.unwrap().ends_with("/trainedAlgorithmicMedia"));

    // without an anchor it holds, and nobody vouches for it
    let found = check_companion(&file, None, &Anchors::default()).unwrap();
    assert_eq!(found.credential.state, State::Valid);
    assert!(matches!(found.findings[2].result, Check::Skipped { .. }), "{found:?}");

    let (other, _) = naming(&picture(8));
    let finding = check_named(found.companion, found.sha256, found.companion.of(&other));
    assert!(finding.failed() && finding.level == Level::Record, "{finding:?}");
}

#[test]
fn every_byte_of_a_reconstruction_counts() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let plain = picture(9);
    let file = issuer(&issued).issue_reconstruction(&plain, &naming(&plain).1, SOURCE).unwrap();
    for at in (8..file.len()).step_by(7) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(!check_companion(&changed, None, &anchors).is_some_and(|found| passes(&found)), "byte {at}");
    }
}

#[test]
fn a_latent_has_its_credential_beside_it() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let (record, written) = naming(&picture(9));
    let beside = issuer(&issued).issue_beside(LATENT, &written, Companion::Latent, SOURCE).unwrap();
    let found = check_companion(LATENT, Some(&beside), &anchors).unwrap();
    assert!(passes(&found), "{found:?}");
    assert_eq!(check_named(found.companion, found.sha256, found.companion.of(&record)).result, Check::Pass);
    assert!(found.credential.digital_source_type.unwrap().ends_with("/trainedAlgorithmicData"));

    let found = check_companion(b"a latent's bytes, of another form!", Some(&beside), &anchors).unwrap();
    assert_eq!(found.credential.state, State::Invalid);
    assert!(found.findings[0].failed() && found.findings[1].failed(), "{found:?}");
    let unnoticed = |at: &usize| {
        let mut changed = beside.clone();
        changed[*at] ^= 1;
        check_companion(LATENT, Some(&changed), &anchors).is_some_and(|found| passes(&found))
    };
    // What no signature covers: the label of the box around it all, the padding with its name, and the empty place of the payload.
    let missed: Vec<u8> = (0..beside.len()).filter(unnoticed).map(|at| beside[at]).filter(|byte| *byte != 0).collect();
    assert_eq!(missed, b"c2papad\xf6", "{}", String::from_utf8_lossy(&missed));
}

#[test]
fn what_the_record_does_not_name_is_not_signed_for_it() {
    let (_, issued) = keys();
    let (_, written) = naming(&picture(9));
    let issuer = issuer(&issued);
    let error = issuer.issue_reconstruction(&picture(8), &written, SOURCE).unwrap_err().to_string();
    assert!(error.contains("the record names"), "{error}");
    assert!(issuer.issue_beside(LATENT, &written, Companion::SourceLatent, SOURCE).is_err());
}

#[test]
fn an_output_is_no_companion_and_a_companion_no_output() {
    let (_, issued) = keys();
    let plain = picture(1);
    let (_, written) = naming(&plain);
    let issuer = issuer(&issued);
    let output = issuer.issue(&dressed(&plain, &written, Detail::Full), &written, Detail::Full, SOURCE).unwrap();
    assert!(check_companion(&output, None, &Anchors::default()).is_none());
    let reconstruction = issuer.issue_reconstruction(&plain, &written, SOURCE).unwrap();
    let told = read_told(&output).unwrap();
    let (findings, _) = check_credential(&reconstruction, Some(&told), &Anchors::default());
    assert!(findings.iter().any(|finding| finding.check == "digest" && finding.failed()), "{findings:?}");
}
