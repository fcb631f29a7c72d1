//! Encoders of the pSp family against an independent implementation; `make_goldens.py` says which, and how to run it
//! again. `cargo test -p networks --test parity_encoder -- --nocapture` prints the measured errors.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

mod family;
mod formula;
mod refusals;

use std::path::PathBuf;

use tch::{Kind, Tensor};

/// A network in double precision must compute the reference's function, not an approximation of it: what is left is the
/// rounding of sums of a few hundred terms (eps 1e-16) over some thirty layers, and five times as many in ReStyle.
const DOUBLE: f64 = 1e-10;
/// In single precision (eps 6e-8) that many layers leave some 1e-6.
const SINGLE: f64 = 1e-4;
/// Gradients in single precision pass the kinks of the activations: millions of values, of which rounding puts a few on the other
/// side, with ReStyle's five encoders and four generators of 512 px always, with one encoder on some processors (another order of
/// sums: 2.3e-3 where others leave 1e-6). Each moves single gradients by some 1e-3: so much the reference itself, computed in single
/// precision, is off what it is in double precision (3.2e-3 at most there; 1.2e-2 were seen on a processor of another maker). The same
/// gradients in double precision have to be right to [`DOUBLE`].
const SINGLE_PAST_KINKS: f64 = 3e-2;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity_encoder/data").join(name)
}

fn golden(name: &str) -> Tensor {
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
fn check(what: &str, ours: &Tensor, reference: &Tensor, tolerance: f64) {
    let error = relative_error(ours, reference);
    println!("{what} {:?}: relative error {error:.1e} (tolerance {tolerance:.0e})", ours.kind());
    assert!(error <= tolerance, "{what} {:?}: relative error {error:e} above {tolerance:e}", ours.kind());
}
