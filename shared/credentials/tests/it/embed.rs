//! A record goes into a file and comes out again; every kind of tampering is found and named.

use crate::fixture::{dressed, picture, record, written};
use credentials::{Check, EmbedError, check_file, embed_record, extract_record, raster_digest, strip_record};
use domain::record::{Detail, WrittenRecord};
use domain::{Digest, canonical_json};

fn failures(png: &[u8]) -> Vec<String> {
    check_file(png).0.into_iter().filter(credentials::Finding::failed).map(|f| f.check).collect()
}

#[test]
fn a_record_goes_in_and_comes_out_and_leaves_the_picture_alone() {
    let plain = picture(1);
    let record = record(&plain);
    let signed = embed_record(&plain, &written(&record), Detail::Full).unwrap();
    let (back, json) = extract_record(&signed).unwrap();
    assert_eq!(back, record);
    assert_eq!(json, canonical_json(&record).unwrap());
    assert_eq!(strip_record(&signed).unwrap(), plain);
    assert_eq!(raster_digest(&signed).unwrap(), record.outcome.raster_sha256);
    assert_eq!(
        embed_record(&signed, &written(&record), Detail::Full).unwrap(),
        signed,
        "a second record replaces the first"
    );
    let (findings, _) = check_file(&signed);
    assert!(findings.iter().all(|f| f.result == Check::Pass), "{findings:?}");
}

#[test]
fn what_is_put_into_a_png_stands_before_its_pixels() {
    let plain = picture(1);
    let file = dressed(&plain, &written(&record(&plain)), Detail::Full);
    let places =
        |kind: &[u8]| file.windows(4).enumerate().filter(|(_, at)| *at == kind).map(|(n, _)| n).collect::<Vec<_>>();
    let (texts, pixels) = (places(b"iTXt"), places(b"IDAT"));
    assert!(texts.len() == 2 && texts.iter().all(|text| *text < pixels[0]), "{texts:?} {pixels:?}");
}

#[test]
fn tampering_is_found_and_named() {
    let plain = picture(1);
    let original = record(&plain);
    assert_eq!(failures(&embed_record(&picture(2), &written(&original), Detail::Full).unwrap()), ["raster", "file"]);

    let mut other_seed = original.clone();
    other_seed.recipe.seed = 9;
    assert_eq!(failures(&embed_record(&plain, &written(&other_seed), Detail::Full).unwrap()), ["recipe"]);

    assert_eq!(failures(&plain), ["record"]);
    assert_eq!(failures(b"GIF89a"), ["record"]);
    let signed = embed_record(&plain, &written(&original), Detail::Full).unwrap();
    assert!(matches!(extract_record(&signed[..signed.len() - 3]), Err(EmbedError::Damaged { .. })));
}

#[test]
fn a_record_keeps_the_bytes_it_came_with_and_is_judged_by_them() {
    let written = written(&record(&picture(1)));
    let digest = written.digest();
    assert_eq!(written.text().as_bytes(), canonical_json(&*written).unwrap());
    let sent = serde_json::to_string(&written).unwrap();
    assert_eq!(sent, written.text());
    let read = |text: &str| serde_json::from_str::<WrittenRecord>(text).unwrap();
    assert_eq!(read(&sent).under(digest).unwrap().text(), sent);
    // other white space, another order of keys: written canonically before it is judged
    let tree: serde_json::Value = serde_json::from_str(&sent).unwrap();
    let spaced = read(&format!("{tree:#}"));
    assert_ne!(spaced.digest(), digest);
    assert_eq!(spaced.under(digest).unwrap().text(), sent);
    // what a newer version added belongs to it, and is kept
    let newer = sent.replacen('{', r#"{"added":1,"#, 1);
    let kept = read(&newer).under(Digest::of(&newer)).unwrap();
    assert_eq!(kept.text(), newer);
    let forged = read(&sent.replacen("\"strength\":", "\"strength\":1", 1)).under(digest).unwrap_err();
    assert_eq!(forged.to_string(), "its record does not hash to the digest it was sent under");
    assert!(serde_json::from_str::<WrittenRecord>("{}").is_err());
}
