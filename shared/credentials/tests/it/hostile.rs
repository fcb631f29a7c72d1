//! Bytes that nobody promised to be an image: a verdict, never a panic, and never a proof.

use crate::fixture::{dressed, full, issuer, keys, picture, pictures, record, written};
use credentials::credential::credential_of_source;
use credentials::dsse::{self, STATEMENT_TYPE, Statement};
use credentials::{
    Anchors, Certificates, Check, Container, EmbedError, Finding, Ingredient, LocalKey, State, check_credential,
    check_file, embed_record, read_credential, read_told, strip_record, xmp_of,
};
use domain::record::Detail;
use proptest::prelude::*;
use serde_json::json;

const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };

/// Everything that reads a file; true if all that could be checked holds.
fn holds(file: &[u8], anchors: &Anchors) -> bool {
    let (bytes, told) = check_file(file);
    let _ = (xmp_of(file), strip_record(file), read_told(file));
    let (credential, read) = check_credential(file, told.as_ref(), anchors);
    !bytes.iter().chain(&credential).any(Finding::failed) && read.is_some_and(|c| c.state != State::Invalid)
}

fn outputs() -> (Anchors, Vec<(Container, Vec<u8>)>) {
    let (authority, issued) = keys();
    let issuer = issuer(&issued);
    let sign = |(container, plain): (Container, Vec<u8>)| {
        let record = written(&full(&plain));
        let file = dressed(&plain, &record, Detail::Full);
        (container, issuer.issue(&file, &record, Detail::Full, SOURCE).unwrap())
    };
    (Anchors::read(&authority.anchor).unwrap(), pictures().map(sign).into())
}

#[test]
fn a_file_that_ends_early_proves_nothing_wherever_it_ends() {
    let (anchors, files) = outputs();
    for (container, file) in files {
        assert!(holds(&file, &anchors));
        for length in (0..file.len()).step_by(7) {
            assert!(!holds(&file[..length], &anchors), "{} cut to {length} of {}", container.name(), file.len());
        }
    }
}

#[test]
fn a_record_of_a_later_version_is_called_that() {
    let plain = picture(1);
    let text = written(&record(&plain)).text().to_owned();
    let later = text.replace("counterfactory/record/2", "counterfactory/record/3");
    let put = |text: &str| {
        let record = serde_json::from_str(text).unwrap();
        embed_record(&plain, &record, Detail::Full).unwrap()
    };
    let says = |file: &[u8]| match &check_file(file).0[0].result {
        Check::Fail { detail } => detail.clone(),
        other => panic!("{other:?}"),
    };
    let told = says(&put(&later));
    assert!(told.contains("counterfactory/record/3") && told.contains("reads up to"), "{told}");
    // a shape that this version cannot read at all
    let png = put(&text);
    let file = crate::tamper::with_text(&png, br#"{"schema":"counterfactory/record/3","what":{"else":1}}"#);
    assert!(matches!(read_told(&file), Err(EmbedError::Schema(schema)) if schema == "counterfactory/record/3"));
    assert!(says(&file).contains("reads up to"), "{}", says(&file));
    for nonsense in
        [&b"{}"[..], b"[]", b"", b"\xff\xfe", br#"{"schema":1}"#, br#"{"schema":"counterfactory/record/2"}"#]
    {
        assert!(matches!(read_told(&crate::tamper::with_text(&png, nonsense)), Err(EmbedError::Unreadable(_))));
    }
    let deep = "[".repeat(100_000);
    let deep = format!(r#"{{"schema":"counterfactory/record/2","x":{deep}"#);
    assert!(matches!(read_told(&crate::tamper::with_text(&png, deep.as_bytes())), Err(EmbedError::Unreadable(_))));
    // fields that a later version added to this schema count, and are kept
    let mut grown: serde_json::Value = serde_json::from_str(&text).unwrap();
    grown["recipe"]["added"] = json!({ "later": [1, 2] });
    grown["recipe_digest"] = json!(domain::digest_of(&grown["recipe"]).unwrap());
    grown["outcome"]["added"] = json!(true);
    let grown = crate::tamper::with_text(&png, &domain::canonical_json(&grown).unwrap());
    assert!(check_file(&grown).0.iter().all(|f| f.result == Check::Pass), "{:?}", check_file(&grown).0);
}

#[test]
fn a_file_with_two_records_is_refused() {
    for (container, plain) in pictures() {
        let file = dressed(&plain, &written(&record(&plain)), Detail::Full);
        let doubled = match container {
            Container::Png => {
                let (place, _) = crate::tamper::record_chunk(&file);
                [&file[..place.end], &file[place.clone()], &file[place.end..]].concat()
            }
            Container::Jpeg => {
                let at = file.windows(4).position(|w| w[..2] == *b"\xff\xea").unwrap();
                let end = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
                [&file[..end], &file[at..end], &file[end..]].concat()
            }
            Container::WebP => {
                let at = file.windows(4).position(|w| w == b"CFXR").unwrap();
                let size = u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
                let chunk = file[at..at + 8 + size + size % 2].to_vec();
                let mut out = [&file[..at], &chunk, &file[at..]].concat();
                let length = u32::try_from(out.len() - 8).unwrap().to_le_bytes();
                out[4..8].copy_from_slice(&length);
                out
            }
        };
        assert!(matches!(read_told(&doubled), Err(EmbedError::Several(2))), "{}", container.name());
        assert!(check_file(&doubled).0[0].failed());
    }
}

/// The credential's part of a file.
fn credential_part(container: Container, file: &[u8]) -> std::ops::Range<usize> {
    let find = |mark: &[u8]| file.windows(mark.len()).position(|part| part == mark).unwrap();
    let number = |at: usize| -> [u8; 4] { file[at..at + 4].try_into().unwrap() };
    match container {
        Container::Png => {
            let at = find(b"caBX") - 4;
            at..at + 12 + u32::from_be_bytes(number(at)) as usize
        }
        Container::Jpeg => {
            let at = find(b"\xff\xeb");
            at..at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]))
        }
        Container::WebP => {
            let at = find(b"C2PA");
            let size = u32::from_le_bytes(number(at + 4)) as usize;
            at..at + 8 + size + size % 2
        }
    }
}

#[test]
fn credentials_that_are_doubled_or_transplanted_hold_for_nothing() {
    let (anchors, files) = outputs();
    let (_, others) = outputs();
    let sized = |container: Container, mut file: Vec<u8>| {
        if container == Container::WebP {
            let length = u32::try_from(file.len() - 8).unwrap().to_le_bytes();
            file[4..8].copy_from_slice(&length);
        }
        file
    };
    for ((container, file), (_, other)) in files.into_iter().zip(others) {
        let (own, foreign) = (credential_part(container, &file), credential_part(container, &other));
        let with = |parts: &[&[u8]]| sized(container, [&file[..own.start], &parts.concat(), &file[own.end..]].concat());
        let (ours, theirs) = (&file[own.clone()], &other[foreign]);
        assert_eq!(with(&[ours]), file);
        for forged in [with(&[ours, ours]), with(&[ours, theirs]), with(&[theirs, ours]), with(&[theirs]), with(&[])] {
            let (findings, _) = check_credential(&forged, None, &anchors);
            assert!(findings.iter().any(Finding::failed), "{}: {findings:?}", container.name());
            assert!(check_file(&forged).0.iter().all(|f| !f.failed()), "what it says of itself is still true");
        }
    }
}

fn heads() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        b"".to_vec(),
        b"\x89PNG\r\n\x1a\n".to_vec(),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
        b"\xff\xd8\xff".to_vec(),
        b"\xff\xd8\xff\xeb\0\x20JP".to_vec(),
        b"RIFF\x40\0\0\0WEBP".to_vec(),
        b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0".to_vec(),
        b"RIFF\x40\0\0\0WEBPC2PA\x20\0\0\0".to_vec(),
    ])
}

/// Changes of a file: at which place (of 2^16 of its length), how many bytes go, and what comes.
fn edits() -> impl Strategy<Value = Vec<(u16, u8, Vec<u8>)>> {
    prop::collection::vec((any::<u16>(), 0..24_u8, prop::collection::vec(any::<u8>(), 0..24)), 1..6)
}

fn edited(file: &[u8], edits: &[(u16, u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = file.to_vec();
    for (place, gone, come) in edits {
        let from = out.len() * usize::from(*place) / (1 << 16);
        let to = (from + usize::from(*gone)).min(out.len());
        out.splice(from..to, come.iter().copied());
    }
    out
}

/// With check sums that fit again, so that what reads on is reached.
fn summed(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = png.get(at..at + 4) {
        let end = at + 8 + u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(sum) = png.get(at + 4..end).map(crc32fast::hash) else { break };
        let Some(place) = png.get_mut(end..end + 4) else { break };
        place.copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    png
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_end_in_a_verdict(head in heads(), tail in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = [head, tail].concat();
        prop_assert!(!holds(&file, &Anchors::default()));
        let _ = dsse::open(&file, &[], &Anchors::default(), None).map(|sealed| panic!("{sealed:?}"));
        let _ = (Certificates::read(&String::from_utf8_lossy(&file)), Anchors::read(&String::from_utf8_lossy(&file)));
    }
}

/// Where the credential itself was changed and the file around it is in order, the library reads on: it must not fall over what it
/// finds. How many cases: `PROPTEST_CASES`.
#[test]
fn a_credential_that_was_changed_anywhere_ends_in_a_verdict() {
    let (anchors, files) = outputs();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let strategy = (0..files.len(), edits(), any::<bool>());
    let run = runner.run(&strategy, |(which, edits, inside)| {
        let (container, file) = &files[which];
        let jumbf = file.windows(4).position(|w| w == b"jumb").unwrap();
        // within the credential's first kilobytes, keeping its length, or anywhere at all
        let changed = if inside {
            let mut out = file.clone();
            for (place, _, come) in &edits {
                let from = jumbf - 4 + usize::from(*place) % 3_600;
                for (at, byte) in (from..out.len()).zip(come) {
                    out[at] = *byte;
                }
            }
            out
        } else {
            edited(file, &edits)
        };
        let changed = if *container == Container::Png { summed(changed) } else { changed };
        let (bytes, told) = check_file(&changed);
        let (findings, _) = check_credential(&changed, told.as_ref(), &anchors);
        let sound = !bytes.iter().chain(&findings).any(Finding::failed);
        // What no signature covers may differ, but it must say the same and show the same.
        if sound {
            prop_assert_eq!(read_told(&changed).unwrap(), read_told(file).unwrap());
            let claim = |file: &[u8]| read_credential(file, &anchors).unwrap().record;
            prop_assert_eq!(claim(&changed), claim(file));
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_credential_that_claims_more_than_it_has_costs_nothing() {
    let (anchors, files) = outputs();
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|line| line.replace(" kB", ""));
        line.map_or(0, |line| line.trim().parse::<u64>().unwrap())
    };
    let before = peak();
    for (container, file) in files {
        // the text after the key of our assertion's schema becomes a string of three gigabytes
        let at = file.windows(23).position(|part| part == b"counterfactory/assertio").unwrap() - 2;
        let mut greedy = file.clone();
        greedy[at..at + 5].copy_from_slice(b"\x5a\xc0\0\0\0");
        let greedy = if container == Container::Png { summed(greedy) } else { greedy };
        let (findings, credential) = check_credential(&greedy, None, &anchors);
        let Check::Fail { detail } = &findings[0].result else { panic!("{findings:?}") };
        assert!(detail.contains("more bytes than there are") && credential.is_none(), "{detail}");
        assert_eq!(credential_of_source(&greedy, container.media_type()), (false, None));
    }
    assert!(peak() < before + (1 << 20), "more than a gigabyte, kB: {}", peak() - before);
}

/// Sources come from anywhere, and in formats that no output has.
#[test]
fn a_source_of_any_kind_is_looked_at_without_harm() {
    let image = image::RgbImage::from_fn(24, 20, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 128]));
    let mut sources: Vec<(&str, Vec<u8>)> = Vec::new();
    for (kind, format) in [("image/gif", image::ImageFormat::Gif), ("image/tiff", image::ImageFormat::Tiff)] {
        let mut file = std::io::Cursor::new(Vec::new());
        image::DynamicImage::from(image.clone()).write_to(&mut file, format).unwrap();
        sources.push((kind, file.into_inner()));
    }
    sources.extend(outputs().1.into_iter().map(|(container, file)| (container.media_type(), file)));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let kinds =
        ["image/gif", "image/tiff", "image/png", "image/jpeg", "image/webp", "image/bmp", "image/avif", "image/heic"];
    let strategy = (0..sources.len(), edits(), 0..2 * kinds.len());
    let run = proptest::test_runner::TestRunner::new(config).run(&strategy, |(which, edits, kind)| {
        let (own, file) = &sources[which];
        let changed = edited(file, &edits);
        // under its own name mostly, and at times under another's
        let (_, parent) = credential_of_source(&changed, kinds.get(kind).unwrap_or(own));
        prop_assert!(parent.is_none() || file.windows(4).any(|part| part == b"jumb"));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn an_envelope_that_was_changed_anywhere_says_nothing_else() {
    let (authority, issued) = keys();
    let anchors = Anchors::read(&authority.anchor).unwrap();
    let key = LocalKey::new(&issued.private_key, &issued.chain).unwrap();
    let subject = vec![dsse::Subject::new("manifest.jsonl", domain::Digest::of("a"))];
    let predicate = json!({ "job": "job_1" });
    let statement = Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject,
        predicate_type: "urn:counterfactory:seal:1".to_owned(),
        predicate,
    };
    let envelope = serde_json::to_vec(&dsse::seal(&statement, &key).unwrap()).unwrap();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let run = proptest::test_runner::TestRunner::new(config).run(&edits(), |edits| {
        if let Ok(sealed) = dsse::open(&edited(&envelope, &edits), &[], &anchors, None) {
            let trusted = sealed.trust == Some(Ok(()));
            prop_assert!(!trusted || sealed.statement == statement, "{:?}", sealed);
        }
        Ok(())
    });
    run.unwrap();
}
