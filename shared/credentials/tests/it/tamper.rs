//! Every field of a record, changed in turn inside a signed picture: each change is found, at the level that is promised.

use crate::fixture::{dressed, full, issuer, keys, picture, pictures, written};
use credentials::{
    Anchors, Check, Finding, Ingredient, Issuer, Level, RECORD_KEYWORD, check_credential, check_file, embed_record,
};
use domain::Digest;
use domain::record::{Detail, WrittenRecord};
use serde_json::{Value, json};

const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };

fn signed(plain: &[u8], record: &WrittenRecord, detail: Detail, issuer: &Issuer) -> Vec<u8> {
    issuer.issue(&dressed(plain, record, detail), record, detail, SOURCE).unwrap()
}

/// The place of a PNG's record: the whole chunk, and what is before the text in it.
pub fn record_chunk(png: &[u8]) -> (std::ops::Range<usize>, Vec<u8>) {
    // the credential names it too
    let mark = [b"iTXt", RECORD_KEYWORD.as_bytes()].concat();
    let at = png.windows(mark.len()).position(|part| part == mark).unwrap() + 4;
    let length = u32::from_be_bytes(png[at - 8..at - 4].try_into().unwrap()) as usize;
    let head = RECORD_KEYWORD.len() + 5;
    (at - 8..at + length + 4, png[at - 4..at + head].to_vec())
}

/// The PNG with this text where its record was, and nothing else changed: what a forger would do.
pub fn with_text(png: &[u8], text: &[u8]) -> Vec<u8> {
    let (place, head) = record_chunk(png);
    let chunk = [head.as_slice(), text].concat();
    let length = u32::try_from(chunk.len() - 4).unwrap().to_be_bytes();
    let mut out = png.to_vec();
    out.splice(place, [&length, chunk.as_slice(), &crc32fast::hash(&chunk).to_be_bytes()].concat());
    out
}

/// Every way to change one thing in `value`, with the place of it: texts, numbers and truths become others, lists lose and gain an
/// item, objects lose and gain a key.
fn changes(value: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let mut others = |other: Value| found.push((String::new(), other));
    match value {
        Value::String(text) => {
            let last = text.chars().last().unwrap_or('a');
            let kept = &text[..text.len() - last.len_utf8().min(text.len())];
            others(json!(format!("{kept}{}", if last == '0' { '1' } else { '0' })));
            others(Value::Null);
        }
        Value::Number(number) => {
            others(match number.as_u64() {
                Some(whole) => json!(whole + 1),
                None => json!(number.as_f64().unwrap() + 0.5),
            });
        }
        Value::Bool(truth) => others(json!(!truth)),
        Value::Null => others(json!(0)),
        Value::Array(items) => {
            others([items.as_slice(), items.get(..1).unwrap_or_default()].concat().into());
            for at in 0..items.len() {
                others(items.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, item)| item.clone()).collect());
            }
        }
        Value::Object(entries) => {
            let with = |key: &str, value| {
                let mut more = entries.clone();
                more.insert(key.to_owned(), value);
                Value::Object(more)
            };
            others(with("added", json!("0")));
            for key in entries.keys() {
                let mut fewer = entries.clone();
                fewer.remove(key);
                others(Value::Object(fewer));
            }
        }
    }
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                for (place, other) in changes(item) {
                    let mut changed = items.clone();
                    changed[at] = other;
                    found.push((format!("/{at}{place}"), changed.into()));
                }
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                for (place, other) in changes(item) {
                    let mut changed = entries.clone();
                    changed[key] = other;
                    found.push((format!("/{key}{place}"), changed.into()));
                }
            }
        }
        _ => {}
    }
    found
}

/// The names of what failed, by level.
fn failed(findings: &[Finding], level: Level) -> Vec<&str> {
    findings.iter().filter(|f| f.level == level && f.failed()).map(|f| f.check.as_str()).collect()
}

fn findings(file: &[u8], anchors: &Anchors) -> Vec<Finding> {
    let (mut findings, told) = check_file(file);
    findings.extend(check_credential(file, told.as_ref(), anchors).0);
    findings
}

/// The level-0 checks of which one at least must fail for a change at `place`; none where only the signature can tell.
fn promised(place: &str) -> &'static [&'static str] {
    match place {
        "/schema" => &["record"],
        "/outcome/raster_sha256" | "/outcome/size/0" | "/outcome/size/1" => &["raster", "record"],
        "/outcome/unsigned_sha256" => &["file", "record"],
        place if place.starts_with("/recipe") => &["recipe", "record"],
        _ => &[],
    }
}

#[test]
fn every_field_of_a_record_is_covered_at_the_level_that_is_promised() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let plain = picture(1);
    let record = written(&full(&plain));
    let file = signed(&plain, &record, Detail::Full, &issuer(&issued));
    assert!(findings(&file, &anchors).iter().all(|f| f.result == Check::Pass));
    assert_eq!(with_text(&file, record.text().as_bytes()), file);
    let tree: Value = serde_json::from_str(record.text()).unwrap();
    let changes = changes(&tree);
    assert!(changes.len() > 400, "{}", changes.len());
    let mut missed = Vec::new();
    for (place, changed) in &changes {
        let forged = with_text(&file, &domain::canonical_json(changed).unwrap());
        let findings = findings(&forged, &anchors);
        let (bytes, credential) = (failed(&findings, Level::Bytes), failed(&findings, Level::Credential));
        let readable = check_file(&forged).1.is_some();
        let named = promised(place).is_empty() || promised(place).iter().any(|name| bytes.contains(name));
        let digest = !readable || failed(&findings, Level::Record) == ["digest"];
        if credential != ["credential"] || !named || !digest {
            missed.push((place, findings));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), changes.len());
}

#[test]
fn every_field_of_an_excerpt_is_covered_and_so_is_every_format() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let (plain, issuer) = (picture(1), issuer(&issued));
    let record = written(&full(&plain));
    for detail in [Detail::Minimal, Detail::Standard] {
        let file = signed(&plain, &record, detail, &issuer);
        let text = record_text(&file);
        for (place, changed) in changes(&serde_json::from_slice(text).unwrap()) {
            let findings = findings(&with_text(&file, &domain::canonical_json(&changed).unwrap()), &anchors);
            assert_eq!(failed(&findings, Level::Credential), ["credential"], "{place}");
            let bytes = failed(&findings, Level::Bytes);
            assert!(!place.starts_with("/recipe") || !bytes.is_empty(), "{place}: {findings:?}");
        }
        let spaced = with_text(&file, &[text, b" "].concat());
        assert_eq!(failed(&findings(&spaced, &anchors), Level::Bytes), ["record"]);
    }
    // one field of each part in the other formats, where the record lies elsewhere
    for (container, plain) in pictures() {
        let record = full(&plain);
        let file = signed(&plain, &written(&record), Detail::Full, &issuer);
        assert!(findings(&file, &anchors).iter().all(|f| f.result == Check::Pass), "{}", container.name());
        let mut others = [(); 4].map(|()| record.clone());
        others[0].recipe.seed += 1;
        others[1].execution.threads += 1;
        others[2].outcome.warnings.clear();
        others[3].links.submitter = None;
        for other in others {
            let forged = embed_record(&file, &written(&other), Detail::Full).unwrap();
            let findings = findings(&forged, &anchors);
            assert_eq!(failed(&findings, Level::Credential), ["credential"], "{}", container.name());
            assert_eq!(failed(&findings, Level::Record), ["digest"], "{}", container.name());
        }
    }
}

#[test]
fn a_forger_with_a_key_of_his_own_is_nobody_to_our_anchors() {
    let ((authority, issued), (stranger, forger)) = (keys(), keys());
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let plain = picture(1);
    let record = full(&plain);
    let honest = signed(&plain, &written(&record), Detail::Full, &issuer(&issued));
    let mut other = record.clone();
    other.recipe.text.target = "another text".to_owned();
    other.recipe_digest = domain::digest_of(&other.recipe).unwrap();
    let other = written(&other);
    let bare = credentials::strip_record(&honest).unwrap();
    let forged = signed(&bare, &other, Detail::Full, &issuer(&forger));
    let found = findings(&forged, &anchors);
    assert_eq!(failed(&found, Level::Bytes), [""; 0], "the forgery is sound in itself: {found:?}");
    assert_eq!(failed(&found, Level::Credential), ["trust"]);
    assert_ne!(Digest::of(record_text(&honest)), Digest::of(record_text(&forged)), "no seal names it");
    let to_him = findings(&forged, &Anchors::read(&stranger.anchor).unwrap());
    assert!(to_him.iter().all(|f| f.result == Check::Pass), "{to_him:?}");
    // without anchors nothing fails, and trust is not called proven
    let unanchored = findings(&forged, &Anchors::default());
    let trust = unanchored.iter().find(|f| f.check == "trust").unwrap();
    assert!(matches!(trust.result, Check::Skipped { .. }), "{trust:?}");
}

fn record_text(png: &[u8]) -> &[u8] {
    let (place, head) = record_chunk(png);
    &png[place.start + 4 + head.len()..place.end - 4]
}
