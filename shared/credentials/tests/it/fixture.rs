//! Pictures, their records, and keys.

use chrono::{DateTime, Utc};
use credentials::{Authority, Container, Issued, Issuer, LocalKey, put_xmp, raster_digest, strip_record};
use domain::Digest;
use domain::StageKey;
use domain::accept::RejectReason;
use domain::digest_of;
use domain::edit::{EditSpec, Method, Selection, StrengthSearch};
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::inversion::Inversion;
use domain::landmarks::Landmarks;
use domain::record::{
    Detail, Determinism, Execution, FaceFacts, LandmarkOrigin, Links, MicroBatch, Outcome, RECORD_SCHEMA, Recipe,
    Record, SourceFacts, TextFacts, Verdict, WrittenRecord,
};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use uuid::Uuid;

/// A PNG of 4 x 4 pixels, of which the first is this red.
pub fn picture(first: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Rgb);
    let mut pixels = vec![7_u8; 48];
    pixels[0] = first;
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// A record of it.
pub fn record(png: &[u8]) -> Record {
    let digest = Digest::of("x");
    let (width, height, _) = credentials::raster::decode(png).unwrap();
    let recipe = Recipe {
        numerics: 1,
        source: SourceFacts {
            sha256: digest,
            raster_sha256: digest,
            uri: None,
            size: [4, 4],
            format: "png".into(),
            conversions: vec![],
            face: None,
        },
        pack: digest,
        models: BTreeMap::from([("generator".into(), digest)]),
        tensors: BTreeMap::new(),
        text: TextFacts { target: "t".into(), neutral: "n".into(), templates: 1, expanded: digest, tokens: None },
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
        determinism: None,
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
            edit_batch: None,
            inversion_batch: None,
            started_at: DateTime::UNIX_EPOCH,
            finished_at: DateTime::UNIX_EPOCH,
            milliseconds: BTreeMap::new(),
            build: BTreeMap::new(),
            environment: BTreeMap::new(),
            peak_memory: None,
        },
        outcome: Outcome {
            raster_sha256: raster_digest(png).unwrap(),
            unsigned_sha256: Digest::of(strip_record(png).unwrap()),
            format: Some("png".into()),
            key: None,
            digital_source_type: Some(domain::record::TRAINED_ALGORITHMIC_MEDIA.into()),
            watermark: Some(domain::record::NO_WATERMARK.into()),
            rendered_sha256: None,
            detail: None,
            size: [width, height],
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
            source_uri: Some("file:faces/é.png".into()),
            parents: Vec::new(),
            pack: None,
            license: None,
            submitter: None,
        },
    }
}

/// A record of it in which every field has something.
pub fn full(png: &[u8]) -> Record {
    let digest = Digest::of("y");
    let mut record = record(png);
    record.recipe.source.face = Some(FaceFacts {
        landmarks: Landmarks::new(vec![[1.5, 2.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0], [3.0, 4.0]]).unwrap(),
        origin: LandmarkOrigin::Detected { faces: 2, probability: 0.75 },
    });
    record.recipe.source.conversions = vec!["exif-orientation".into(), "frame-ffhq".into()];
    record.recipe.models.insert("judge".into(), digest);
    record.recipe.text.tokens = Some(digest);
    record.recipe.inversion = Inversion::Hybrid(Default::default());
    record.recipe.edit.strength_search = Some(StrengthSearch { probability: 0.9, ..Default::default() });
    record.recipe.edit.accept.max_change = Some(12.5);
    record.recipe.determinism = Some(Determinism::Exact);
    (record.recipe.mapper, record.recipe.mask) = (Some(digest), Some(digest));
    record.recipe_digest = digest_of(&record.recipe).unwrap();
    let named = |names: [&str; 2]| names.map(|name| (name.to_owned(), "1.2".to_owned())).into();
    record.execution.build = named(["rustc", "cargo_lock"]);
    record.execution.environment = named(["driver", "CUBLAS_WORKSPACE_CONFIG"]);
    record.execution.milliseconds = [("edit".to_owned(), 12.25)].into();
    record.execution.peak_memory = Some(1 << 30);
    record.outcome.key = Some(StageKey(digest));
    (record.outcome.rendered_sha256, record.outcome.detail) = (Some(digest), Some(Detail::Full));
    record.outcome.metrics = [("identity".to_owned(), 0.5), ("target_reached".to_owned(), 0.0)].into();
    record.outcome.judged = [("hair".to_owned(), ["brown".to_owned(), "green".to_owned()])].into();
    record.outcome.verdict = Some(Verdict::Reject);
    record.outcome.rejected_for = vec![RejectReason::TargetMissed];
    record.outcome.warnings = vec!["a warning".into()];
    record.links.parents = vec![digest];
    record.links.pack = Some("pack 1".into());
    record.links.license = Some("MIT".into());
    record.links.submitter = Some("me".into());
    record
}

/// With its text.
pub fn written(record: &Record) -> WrittenRecord {
    WrittenRecord::new(record.clone()).unwrap()
}

/// The same picture, larger, in each format.
pub fn pictures() -> [(Container, Vec<u8>); 3] {
    let image = image::RgbImage::from_fn(48, 40, |x, y| image::Rgb([x as u8 * 5, y as u8 * 6, 128]));
    [
        (Container::Png, image::ImageFormat::Png),
        (Container::Jpeg, image::ImageFormat::Jpeg),
        (Container::WebP, image::ImageFormat::WebP),
    ]
    .map(|(container, format)| {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format).unwrap();
        (container, file.into_inner())
    })
}

/// An authority and a key of it.
pub fn keys() -> (Authority, Issued) {
    let authority = Authority::create(Utc::now()).unwrap();
    let issued = authority.issue(Utc::now()).unwrap();
    (authority, issued)
}

/// Signs with a key.
pub fn issuer(issued: &Issued) -> Issuer {
    Issuer::new(Arc::new(LocalKey::new(&issued.private_key, &issued.chain).unwrap())).unwrap()
}

/// What a worker makes of a picture before it is signed.
pub fn dressed(plain: &[u8], record: &WrittenRecord, detail: Detail) -> Vec<u8> {
    let told = credentials::embed_record(plain, record, detail).unwrap();
    put_xmp(&told, record, detail).unwrap()
}
