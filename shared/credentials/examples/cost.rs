//! What provenance costs an image: bytes that its record, its XMP and its credential add, and milliseconds to put them in and to check
//! them, with a key in this process. `cargo run --release -p credentials --example cost -- FILE...`; of outputs that are named it says what share of
//! the time in their own records that is. Prints Markdown; the figures kept are in `tests/bench/PROVENANCE.md`.
#![expect(clippy::unwrap_used, reason = "an example fails by panicking")]
#![expect(clippy::print_stdout, reason = "an example talks on stdout")]

#[path = "../tests/it/fixture.rs"]
#[expect(dead_code, reason = "the fixtures of the tests, of which not all are needed here")]
mod fixture;

use credentials::{
    Anchors, Ingredient, Issuer, check_credential, check_file, embed_record, extract_record, put_xmp, raster_digest,
    strip_record,
};
use domain::Digest;
use domain::record::{Detail, WrittenRecord};
use image::ImageFormat;
use std::io::Cursor;
use std::time::Instant;

const REPEATS: usize = 51;
const STEPS: u32 = 30;
const SOURCE: Ingredient<'_> = Ingredient { media_type: "image/png", credentialed: None };

fn main() {
    let (authority, issued) = fixture::keys();
    let (issuer, anchors) = (fixture::issuer(&issued), Anchors::read(&authority.anchor).unwrap());
    println!("| image | bytes | record | XMP | credential | all | hash and embed, ms | sign, ms | check, ms |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for side in [64, 1024] {
        for (name, format) in [("PNG", ImageFormat::Png), ("JPEG", ImageFormat::Jpeg), ("WebP", ImageFormat::WebP)] {
            let plain = picture(side, format);
            let costs = Costs::of(&plain, &record(&plain), &issuer, &anchors);
            println!("| {name} {side} | {} | {costs} |", plain.len());
        }
    }
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        return;
    }
    println!("\n| output | method | its task, ms | provenance, ms | share | bytes beside the record |");
    println!("|---|---|--:|--:|--:|--:|");
    for path in files {
        let (record, text) = extract_record(&std::fs::read(&path).unwrap()).unwrap();
        let plain = strip_record(&std::fs::read(&path).unwrap()).unwrap();
        let task: f64 = record.execution.milliseconds.values().sum();
        let costs = Costs::of(&plain, &serde_json::from_slice(&text).unwrap(), &issuer, &anchors);
        let (ours, beside) = (costs.embed + costs.sign, costs.xmp + costs.credential);
        let (name, method) = (path.to_string_lossy(), record.recipe.method());
        let name = name.rsplit('/').next().unwrap_or_default();
        println!(
            "| {name} | {method}, {} steps | {task:.0} | {ours:.2} | {:.2} % | {beside} |",
            record.outcome.steps,
            ours / task * 1e2
        );
    }
}

/// Medians; bytes are the same each time, but for a signature's numbers.
struct Costs {
    record: usize,
    xmp: usize,
    credential: usize,
    embed: f64,
    sign: f64,
    check: f64,
}

impl Costs {
    fn of(plain: &[u8], record: &WrittenRecord, issuer: &Issuer, anchors: &Anchors) -> Self {
        let put = || {
            // What a worker does: both digests, then the parts.
            let _ = (raster_digest(plain).unwrap(), Digest::of(strip_record(plain).unwrap()));
            let told = embed_record(plain, record, Detail::Full).unwrap();
            (told.len(), put_xmp(&told, record, Detail::Full).unwrap())
        };
        let (embed, (told, dressed)) = median(put);
        let (sign, file) = median(|| issuer.issue(&dressed, record, Detail::Full, SOURCE).unwrap());
        let check = || {
            let (findings, told) = check_file(&file);
            let (more, _) = check_credential(&file, told.as_ref(), anchors);
            assert!(!findings.iter().chain(&more).any(credentials::Finding::failed), "{findings:?} {more:?}");
        };
        let (check, ()) = median(check);
        let parts = [told - plain.len(), dressed.len() - told, file.len() - dressed.len()];
        Self { record: parts[0], xmp: parts[1], credential: parts[2], embed, sign, check }
    }
}

impl std::fmt::Display for Costs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { record, xmp, credential, embed, sign, check } = self;
        write!(
            f,
            "{record} | {xmp} | {credential} | {} | {embed:.2} | {sign:.2} | {check:.2}",
            record + xmp + credential
        )
    }
}

/// Median milliseconds of `work`, and what it gave last.
fn median<T>(work: impl Fn() -> T) -> (f64, T) {
    let mut last = work();
    let mut times: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let began = Instant::now();
            last = work();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[REPEATS / 2], last)
}

/// Smooth, with some noise, as faces are.
fn picture(side: u32, format: ImageFormat) -> Vec<u8> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 29) as u8
    };
    // Safe to narrow: below 256.
    let shade = |at: u32| (at * 240 / side) as u8;
    let image = image::RgbImage::from_fn(side, side, |x, y| {
        image::Rgb([shade(x) + noise(), shade(y) + noise(), shade((x + y) / 2) + noise()])
    });
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// Every field is there, and a loss for each step.
fn record(plain: &[u8]) -> WrittenRecord {
    let mut record = fixture::full(plain);
    record.outcome.loss = (1..=STEPS).map(|step| 1.0 / f64::from(step).sqrt()).collect();
    record.outcome.steps = STEPS;
    fixture::written(&record)
}
