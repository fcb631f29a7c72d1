//! CLIP and its tokenizer against independent implementations; `make_goldens.py` and `make_tower_goldens.py` say
//! which, and how to run them again.
//! `cargo test -p networks --test parity_clip -- --nocapture` prints the measured errors.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

mod formula;
mod network;
mod preprocess;
mod refusals;
mod tokenizer;
mod towers;

use std::path::PathBuf;

use tch::{Kind, Tensor};

/// A network in double precision must compute the reference's function, not an approximation of it: what is left is the
/// rounding of a few thousand additions (eps 1e-16), and 1e-10 is far below any wrong constant, order or axis.
const DOUBLE: f64 = 1e-10;
/// In single precision (eps 6e-8) the rounding of sums of some hundred terms over up to nine layers stays below 1e-5,
/// while swapping the two activations moves these features by several 1e-3.
const SINGLE: f64 = 1e-5;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity_clip/data").join(name)
}

fn pack(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo/pack").join(name)
}

fn golden(name: &str) -> Tensor {
    ["goldens.safetensors", "tower_goldens.safetensors"]
        .into_iter()
        .flat_map(|file| Tensor::read_safetensors(data(file)).unwrap())
        .find(|(found, _)| found == name)
        .unwrap_or_else(|| panic!("no golden {name}"))
        .1
}

/// The largest difference, relative to the largest value of `reference`.
fn relative_error(ours: &Tensor, reference: &Tensor) -> f64 {
    assert_eq!(ours.size(), reference.size());
    let (ours, reference) = (ours.to_kind(Kind::Double), reference.to_kind(Kind::Double));
    ((ours - &reference).abs().max() / reference.abs().max()).double_value(&[])
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "the measured error is what a reader of the test run wants")]
fn check(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f64) {
    let error = relative_error(ours, reference);
    println!("{what}: relative error {error:.1e} (tolerance {tolerance:.0e})");
    assert!(error <= tolerance, "{what}: relative error {error:e} above {tolerance:e}");
}
