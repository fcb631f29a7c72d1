//! Identity and perceptual networks against independent implementations; `make_goldens.py` says which, and how to run
//! them again. `cargo test -p networks --test parity_features -- --nocapture` prints the measured errors.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

mod formula;
mod identity;
mod perceptual;

use std::path::PathBuf;

use tch::{Kind, Tensor};

/// A network in double precision must compute the reference's function, not an approximation of it: what is left is the
/// rounding of sums of a few thousand terms (eps 1e-16), far below any wrong constant, border, order or axis.
const DOUBLE: f64 = 1e-10;
/// In single precision (eps 6e-8) sums of up to 25,000 terms over up to fifty layers leave some 1e-6, and the gradients,
/// which pass them twice, a few times that.
const SINGLE: f64 = 1e-4;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity_features/data").join(name)
}

fn golden(name: &str) -> Tensor {
    // One thread per test: the tests themselves run side by side.
    tch::set_num_threads(1);
    let all = Tensor::read_safetensors(data("goldens.safetensors")).unwrap();
    all.into_iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no golden {name}")).1
}

/// The largest difference, relative to the largest value of `reference`.
fn relative_error(ours: &Tensor, reference: &Tensor) -> f64 {
    assert_eq!(ours.size(), reference.size());
    let (ours, reference) = (ours.to_kind(Kind::Double), reference.to_kind(Kind::Double));
    let scale = reference.abs().max().double_value(&[]);
    assert!(scale > 0.0, "an all-zero reference tests nothing");
    (ours - reference).abs().max().double_value(&[]) / scale
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "the measured error is what a reader of the test run wants")]
fn check(what: &str, ours: &Tensor, reference: &Tensor, kind: Kind) {
    let tolerance = if kind == Kind::Double { DOUBLE } else { SINGLE };
    let error = relative_error(ours, reference);
    println!("{what} {kind:?}: relative error {error:.1e} (tolerance {tolerance:.0e})");
    assert!(error <= tolerance, "{what} {kind:?}: relative error {error:e} above {tolerance:e}");
}

/// A copy that gradients are wanted for.
fn leaf(tensor: &Tensor) -> Tensor {
    tensor.copy().set_requires_grad(true)
}

/// Every `step`th pixel of a gradient, as the goldens keep it.
fn every(step: i64, gradient: &Tensor) -> Tensor {
    gradient.slice(2, None, None, step).slice(3, None, None, step)
}
