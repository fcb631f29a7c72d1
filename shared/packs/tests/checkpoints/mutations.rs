//! Damaged in a thousand ways: opening, listing and reading end in values or errors, never in a panic, an endless loop or much
//! memory. `FUZZ_SECONDS` makes it longer than the few seconds of a test run; the seed is printed with a failure.

use crate::data;
use packs::Checkpoint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// Files of every format. Storages are left small so that most changes hit what is parsed.
const SEEDS: [&str; 17] = [
    "views.pt",
    "views-legacy.pt",
    "views-deflated.pt",
    "training.pt",
    "training-legacy.pt",
    "protocol4.pt",
    "script.pt",
    "whole-module.pt",
    "nvidia-2.pkl",
    "nvidia-3.pkl",
    "nvidia-4.pkl",
    "nvidia-5.pkl",
    "numpy-0.pkl",
    "numpy-2.pkl",
    "numpy-4.pkl",
    "dtypes.safetensors",
    "wide.pkl",
];

/// Numbers that parsers trip over.
const ODD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'R', b'.', b'('];

/// SplitMix64 (Steele, Lea and Flood 2014): enough for choosing bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = ODD[random.below(ODD.len())],
            2 => bytes[at] = random.next() as u8,
            3 => bytes.truncate(at.max(1)),
            4 => {
                let end = (at + random.below(24)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let end = (at + random.below(64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            6 => {
                let from = random.below(other.len());
                let end = (from + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
            _ => {
                let number = [u64::MAX, 1 << 31, 1 << 40, 0][random.below(4)].to_le_bytes();
                for (byte, new) in bytes[at..].iter_mut().zip(number) {
                    *byte = new;
                }
            }
        }
        if bytes.is_empty() {
            bytes.push(0x80);
        }
    }
}

fn exercise(path: &Path) {
    let Ok(checkpoint) = Checkpoint::open(path) else { return };
    let _ = checkpoint.verify_checksums();
    let Ok(tensors) = checkpoint.tensors(&checkpoint.root) else { return };
    for tensor in tensors.values().take(200) {
        let _ = tensor.read_f32();
    }
}

#[test]
fn damaged_files_never_panic() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    let start = std::env::var("FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let originals: Vec<Vec<u8>> = SEEDS.iter().map(|name| std::fs::read(data(name)).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let (begin, mut seed) = (Instant::now(), start);
    // Panics are caught below and reported with their seed; the default printout would come thousandfold.
    while begin.elapsed() < Duration::from_secs(seconds) {
        let mut random = Random(seed);
        let which = random.below(originals.len());
        let mut bytes = originals[which].clone();
        mutate(&mut bytes, &originals[random.below(originals.len())], &mut random);
        std::fs::write(&path, &bytes).unwrap();
        let once = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| exercise(&path)));
        assert!(outcome.is_ok(), "{} panics when mutated with FUZZ_SEED={seed}", SEEDS[which]);
        assert!(
            once.elapsed() < Duration::from_secs(20),
            "{} takes {:?} with FUZZ_SEED={seed}",
            SEEDS[which],
            once.elapsed()
        );
        seed += 1;
    }
    let cases = seed - start;
    println!("{cases} damaged files in {seconds} s");
    assert!(cases > 50, "only {cases} cases in {seconds} s");
}
