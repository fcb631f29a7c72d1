//! A record goes into a PNG and comes out again; every kind of tampering is found and named.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use chrono::DateTime;
use credentials::{Check, EmbedError, check_file, embed_record, extract_record, raster_digest, strip_record};
use domain::edit::{EditSpec, Method, Selection};
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::inversion::Inversion;
use domain::record::{
    Execution, Links, MicroBatch, Outcome, RECORD_SCHEMA, Recipe, Record, SourceFacts, TextFacts, WrittenRecord,
};
use domain::{Digest, canonical_json, digest_of};
use std::collections::BTreeMap;
use uuid::Uuid;

fn picture(first: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Rgb);
    let mut pixels = vec![7_u8; 48];
    pixels[0] = first;
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

fn record(png: &[u8]) -> Record {
    let digest = Digest::of("x");
    let recipe = Recipe {
        numerics: 1,
        source: SourceFacts {
            sha256: digest,
            raster_sha256: digest,
            uri: "file:faces/é.png".into(),
            size: [4, 4],
            format: "png".into(),
            conversions: vec![],
            face: None,
        },
        pack: digest,
        models: BTreeMap::from([("generator".into(), digest)]),
        text: TextFacts { target: "t".into(), neutral: "n".into(), templates: 1, expanded: digest },
        inversion: Inversion::default(),
        edit: EditSpec {
            name: None,
            text: "t".into(),
            neutral: "n".into(),
            method: Method::default(),
            strength_search: None,
            accept: Default::default(),
            only: Selection::default(),
        },
        strength: 1.0,
        seed: 0,
        rng: "chacha8".into(),
        noise: "fixed".into(),
        precision: "fp32".into(),
        source_latent: digest,
        mapper: None,
        mask: None,
    };
    Record {
        schema: RECORD_SCHEMA.into(),
        recipe_digest: digest_of(&recipe).unwrap(),
        recipe,
        execution: Execution {
            version: "0".into(),
            commit: "unknown".into(),
            libtorch: "2.11.0".into(),
            device: "cpu".into(),
            threads: 1,
            boot: BootId::from_uuid(Uuid::nil()),
            batch: BatchId::from_uuid(Uuid::nil()),
            epoch: 1,
            micro_batch: MicroBatch { size: 1, slot: 0 },
            started_at: DateTime::UNIX_EPOCH,
            finished_at: DateTime::UNIX_EPOCH,
            milliseconds: BTreeMap::new(),
        },
        outcome: Outcome {
            raster_sha256: raster_digest(png).unwrap(),
            unsigned_sha256: Digest::of(png),
            size: [4, 4],
            latent: digest,
            reconstruction: digest,
            loss: vec![1.5, 0.25],
            steps: 2,
            metrics: BTreeMap::new(),
            judged: BTreeMap::new(),
            verdict: None,
            rejected_for: Vec::new(),
            warnings: vec![],
        },
        links: Links {
            job: JobId::from_uuid(Uuid::nil()),
            task: TaskId { job: 1, no: 2 },
            project: "p".into(),
            dataset: "d".into(),
            source: 0,
        },
    }
}

fn written(record: &Record) -> WrittenRecord {
    WrittenRecord::new(record.clone()).unwrap()
}

fn failures(png: &[u8]) -> Vec<String> {
    check_file(png).0.into_iter().filter(credentials::Finding::failed).map(|f| f.check).collect()
}

#[test]
fn a_record_goes_in_and_comes_out_and_leaves_the_picture_alone() {
    let plain = picture(1);
    let record = record(&plain);
    let signed = embed_record(&plain, &written(&record)).unwrap();
    let (back, json) = extract_record(&signed).unwrap();
    assert_eq!(back, record);
    assert_eq!(json, canonical_json(&record).unwrap());
    assert_eq!(strip_record(&signed).unwrap(), plain);
    assert_eq!(raster_digest(&signed).unwrap(), record.outcome.raster_sha256);
    assert_eq!(embed_record(&signed, &written(&record)).unwrap(), signed, "a second record replaces the first");
    let (findings, _) = check_file(&signed);
    assert!(findings.iter().all(|f| f.result == Check::Pass), "{findings:?}");
}

#[test]
fn tampering_is_found_and_named() {
    let plain = picture(1);
    let original = record(&plain);
    assert_eq!(failures(&embed_record(&picture(2), &written(&original)).unwrap()), ["raster", "file"]);

    let mut other_seed = original.clone();
    other_seed.recipe.seed = 9;
    assert_eq!(failures(&embed_record(&plain, &written(&other_seed)).unwrap()), ["recipe"]);

    assert_eq!(failures(&plain), ["record"]);
    assert_eq!(failures(b"GIF89a"), ["record"]);
    let signed = embed_record(&plain, &written(&original)).unwrap();
    assert!(matches!(extract_record(&signed[..signed.len() - 3]), Err(EmbedError::Truncated { .. })));
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
