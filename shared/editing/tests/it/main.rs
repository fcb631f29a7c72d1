//! The editing methods on the demo pack, and against independent references.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod demo;
mod inversion;
mod mapper;
mod objective;
mod per_image;
mod perspective;
mod precision;
mod ranger;
mod repro;
mod search;
mod slices;
mod texts;
mod training;

use std::path::Path;
use tch::{Device, Kind, Tensor};

/// A golden file of this folder.
fn golden(path: &str) -> networks::Weights {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(path);
    networks::Weights::open(path, Device::Cpu, Kind::Float).expect("the golden file is in the repository")
}

fn take(golden: &mut networks::Weights, name: &str) -> Tensor {
    let shape = golden.shape(name).expect("in the golden file");
    golden.take(name, &shape).expect("in the golden file")
}

/// The largest difference, relative to the largest value of the reference.
fn difference(ours: &Tensor, reference: &Tensor) -> f64 {
    assert_eq!(ours.size(), reference.size());
    let scale = reference.abs().max().double_value(&[]).max(1e-12);
    (ours - reference).abs().max().double_value(&[]) / scale
}
