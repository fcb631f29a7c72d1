//! The generator on tiny random networks: 16 px with 2 mapping layers and FIR buffers, 32 px with 8 and without.

use networks::Generator;
use tch::{Kind, Tensor};

use crate::golden::{Golden, check, gradient, leaf, relative_error};

/// Batch 1 against batch n: other convolution kernels may be chosen, so rounding differs, by no more than a few units.
const BATCH_TOLERANCE: f64 = 1e-5;

fn load(name: &str, kind: Kind) -> (Golden, Generator) {
    let golden = Golden::read(name);
    let (generator, report) = Generator::load(golden.weights_as(kind)).unwrap();
    assert_eq!(report.tensors, golden.weights.len());
    assert_eq!(report.converted, if kind == Kind::Float { 0 } else { report.tensors });
    (golden, generator)
}

fn outputs_and_gradients_match(name: &str) {
    let (golden, generator) = load(name, Kind::Float);
    check(&format!("{name} w"), &generator.map(golden.get("z")).unwrap(), golden.get("w"));
    let truncated = generator.truncate(golden.get("w"), 0.7).unwrap();
    check(&format!("{name} truncated w"), &truncated, golden.get("truncated"));

    let w_plus = leaf(golden.get("w_plus"));
    let styles = Tensor::cat(&generator.styles(&w_plus).unwrap(), 1);
    check(&format!("{name} styles"), &styles, golden.get("styles"));
    let images = generator.synthesize(&w_plus).unwrap();
    check(&format!("{name} images"), &images, golden.get("images"));
    let gradient = gradient([(&images, golden.get("probe"))], &w_plus);
    check(&format!("{name} gradient"), &gradient, golden.get("gradient"));
}

#[test]
fn generator_16px_matches() {
    outputs_and_gradients_match("stylegan2_16");
}

#[test]
fn generator_32px_matches() {
    outputs_and_gradients_match("stylegan2_32");
}

#[test]
fn sizes_come_from_the_file() {
    let (_, generator) = load("stylegan2_32", Kind::Float);
    let architecture = generator.architecture();
    assert_eq!((generator.resolution(), generator.n_latent(), generator.w_dim()), (32, 8, 16));
    assert_eq!(architecture.mapping_layers, 8);
    assert_eq!(architecture.channels, [(4, 8), (8, 10), (16, 8), (32, 4)]);
    let (_, generator) = load("stylegan2_16", Kind::Float);
    assert_eq!((generator.resolution(), generator.n_latent(), generator.architecture().mapping_layers), (16, 6, 2));
}

/// The formulas themselves, without single-precision rounding. What is left is the goldens' own: they are stored as F32.
#[test]
fn double_precision_matches_to_the_last_stored_digit() {
    let (golden, generator) = load("stylegan2_32", Kind::Double);
    let w_plus = leaf(&golden.get("w_plus").to_kind(Kind::Double));
    let images = generator.synthesize(&w_plus).unwrap();
    let gradient = gradient([(&images, golden.get("probe"))], &w_plus);
    assert!(relative_error(&images, golden.get("images")) < 1e-6);
    assert!(relative_error(&gradient, golden.get("gradient")) < 1e-6);
}

/// Half-precision convolutions have 2^-11 of rounding each; latents, styles and the image itself stay in F32.
#[test]
fn half_precision_stays_near() {
    let (golden, generator) = load("stylegan2_32", Kind::Half);
    let images = generator.synthesize(golden.get("w_plus")).unwrap();
    assert_eq!(images.kind(), Kind::Float);
    let error = relative_error(&images, golden.get("images"));
    assert!(error < 1e-2, "{error:.3e}");
    // Styles far outside F16's comfort must cancel, not overflow.
    let loud = generator.synthesize(&(golden.get("w_plus") * 300.0)).unwrap();
    networks::error::ensure_finite("images", &loud).unwrap();
}

#[test]
fn an_item_does_not_depend_on_its_batch_mates() {
    let (golden, generator) = load("stylegan2_32", Kind::Float);
    let noise = Tensor::cat(&[golden.get("w_plus"), &(golden.get("w_plus") * -0.5)], 0); // [4, L, D]
    let run = |w_plus: &Tensor| {
        let w_plus = leaf(w_plus);
        let images = generator.synthesize(&w_plus).unwrap();
        let gradient = gradient([(&images, &golden.get("probe").select(0, 0))], &w_plus);
        (images.detach(), gradient)
    };
    let (images, gradients) = run(&noise);
    let order = Tensor::from_slice(&[2i64, 0, 3, 1]);
    let (shuffled_images, shuffled_gradients) = run(&noise.index_select(0, &order));
    assert!(relative_error(&shuffled_images, &images.index_select(0, &order)) < BATCH_TOLERANCE);
    assert!(relative_error(&shuffled_gradients, &gradients.index_select(0, &order)) < BATCH_TOLERANCE);
    for i in 0..4 {
        let (image, gradient) = run(&noise.narrow(0, i, 1));
        assert!(relative_error(&image, &images.narrow(0, i, 1)) < BATCH_TOLERANCE);
        assert!(relative_error(&gradient, &gradients.narrow(0, i, 1)) < BATCH_TOLERANCE);
    }
}

#[test]
fn one_latent_gives_one_image() {
    let (golden, generator) = load("stylegan2_16", Kind::Float);
    let render = || generator.synthesize(golden.get("w_plus")).unwrap();
    assert!(render().equal(&render()), "the same call twice must give the same bits");
}

#[test]
fn broadcast_repeats_w() {
    let (golden, generator) = load("stylegan2_16", Kind::Float);
    let w = golden.get("w");
    let w_plus = generator.broadcast(w).unwrap();
    assert_eq!(w_plus.size(), [2, 6, 16]);
    assert!((0..6).all(|layer| w_plus.select(1, layer).equal(w)));
}

#[test]
fn wrong_inputs_are_errors_that_name_both_shapes() {
    let (golden, generator) = load("stylegan2_16", Kind::Float);
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, tch::Device::Cpu));
    for size in [&[2, 5, 16][..], &[2, 6, 15], &[6, 16], &[0, 6, 16], &[], &[2, 6, 16, 1]] {
        let error = generator.synthesize(&zeros(size)).expect_err("wrong shape").to_string();
        assert!(error.contains("[any, 6, 16]") && error.contains(&format!("{size:?}")), "{error}");
    }
    assert!(generator.synthesize(&Tensor::new()).is_err());
    assert!(generator.map(&zeros(&[16])).is_err());
    assert!(generator.broadcast(&zeros(&[2, 6, 16])).is_err());
    assert!(generator.truncate(&zeros(&[16]), 0.5).is_err());
    let mut styles = generator.styles(golden.get("w_plus")).unwrap();
    styles[1] = styles[1].narrow(0, 0, 1);
    assert!(generator.synthesize_from_styles(&styles).is_err(), "two items and one");
    assert!(generator.synthesize_from_styles(&[]).is_err());
}
