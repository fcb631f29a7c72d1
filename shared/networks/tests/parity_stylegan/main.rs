//! Bounded StyleGAN2 and StyleGAN3 against an independent formulation; `make_goldens.py` says which, and how to run it
//! again. `cargo test -p networks --test parity_stylegan -- --nocapture` prints the measured errors.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

mod formula;
mod refusals;
mod stylegan2;
mod stylegan3;

use std::path::PathBuf;

use networks::NetworkError;
use tch::{Kind, Tensor};

use formula::fill;

/// A network in double precision must compute the reference's function, not an approximation of it: what is left is the
/// rounding of sums of a few hundred terms (eps 1e-16), far below any wrong constant, border, order or axis.
const DOUBLE: f64 = 1e-10;
/// In single precision (eps 6e-8) some twenty layers leave about 1e-6, and the gradients, which pass them twice, a few
/// times that. Values that cross a kink of an activation by their rounding move single gradients by some 1e-5.
const SINGLE: f64 = 1e-4;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity_stylegan/data").join(name)
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

/// What both generators can do, as the goldens ask for it.
struct Door<'a> {
    n_latent: i64,
    map: &'a dyn Fn(&Tensor) -> Result<Tensor, NetworkError>,
    truncate: &'a dyn Fn(&Tensor) -> Result<Tensor, NetworkError>,
    synthesize: &'a dyn Fn(&Tensor) -> Result<Tensor, NetworkError>,
}

/// The latents of a case, `[2, L, 12]`, wanting gradients.
fn latents(case: &str, n_latent: i64, kind: Kind) -> Tensor {
    fill(&format!("{case}.w_plus"), &[2, n_latent, 12], 1.5).to_kind(kind).set_requires_grad(true)
}

/// The images of `w_plus` and the gradient of their sum weighed by the case's probe.
fn render(door: &Door<'_>, case: &str, w_plus: &Tensor) -> (Tensor, Tensor) {
    let images = (door.synthesize)(w_plus).unwrap();
    let probe = fill(&format!("{case}.probe"), &images.size(), 1.0).to_kind(images.kind());
    let loss = (&images * probe).sum(None);
    let gradient = Tensor::run_backward(&[loss], &[w_plus], false, false).remove(0);
    (images.detach(), gradient)
}

/// Values and gradients of one case of the goldens.
fn matches(door: &Door<'_>, case: &str, kind: Kind) {
    let w = (door.map)(&fill(&format!("{case}.z"), &[2, 10], 1.0).to_kind(kind)).unwrap();
    check(&format!("{case} w"), &w, &golden(&format!("{case}.w")), kind);
    let truncated = (door.truncate)(&w).unwrap();
    check(&format!("{case} truncated w"), &truncated, &golden(&format!("{case}.truncated")), kind);
    let (images, gradient) = render(door, case, &latents(case, door.n_latent, kind));
    check(&format!("{case} images"), &images, &golden(&format!("{case}.images")), kind);
    check(&format!("{case} gradient"), &gradient, &golden(&format!("{case}.gradient")), kind);
}
