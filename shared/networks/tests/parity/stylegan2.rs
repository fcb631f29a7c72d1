//! The generator on tiny random networks: 16 px with 2 mapping layers and FIR buffers, 32 px with 8 and without.

use networks::stylegan2::Generator;
use networks::stylegan2::{Delta, LowRank};
use networks::{NetworkError, Weights};
use tch::{Device, Kind, Tensor};

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

/// The same file with some of its tensors replaced.
fn reload(golden: &Golden, kind: Kind, change: impl Fn(&str, &Tensor) -> Option<Tensor>) -> Generator {
    let tensors = golden
        .weights
        .iter()
        .map(|(name, tensor)| (name.clone(), change(name, tensor).unwrap_or_else(|| tensor.shallow_clone())));
    Generator::load(Weights::from_tensors("changed network", tensors, Device::Cpu, kind).unwrap()).unwrap().0
}

/// A tensor of a file that says everything below 16 px, and nothing else.
fn below_16px(name: &str) -> bool {
    !["convs.4", "convs.5", "to_rgbs.2", "noises.noise_5", "noises.noise_6"].iter().any(|own| name.starts_with(own))
}

/// The image of a level is what a generator that ends there draws.
#[test]
fn a_level_is_the_image_of_the_generator_that_ends_there() {
    let (golden, generator) = load("stylegan2_32", Kind::Float);
    let kept = golden.weights.iter().filter(|(name, _)| below_16px(name));
    let tensors = kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
    let small = Weights::from_tensors("16 px", tensors, Device::Cpu, Kind::Float).unwrap();
    let small = Generator::load(small).unwrap().0;
    assert_eq!((small.resolution(), small.n_latent()), (16, 6));

    let w_plus = leaf(golden.get("w_plus"));
    let image = generator.synthesize_at(&w_plus, 16).unwrap();
    assert!(image.equal(&small.synthesize(&w_plus.narrow(1, 0, 6)).unwrap()));
    let gradient = gradient([(&image, &image.detach())], &w_plus);
    assert!((0..6).all(|layer| gradient.select(1, layer).abs().max().double_value(&[]) > 0.0));
    assert_eq!(gradient.narrow(1, 6, 2).abs().max().double_value(&[]), 0.0, "layers beyond are not read");
    assert!(generator.synthesize_at(&w_plus, 32).unwrap().equal(&generator.synthesize(&w_plus).unwrap()));
    assert_eq!(generator.synthesize_at(&w_plus, 4).unwrap().size()[1..], [3, 4, 4]);
    let error = generator.synthesize_at(&w_plus, 20).expect_err("no such level").to_string();
    assert!(error.contains("[4, 8, 16, 32]") && error.contains("20"), "{error}");
}

#[test]
fn given_noise_is_as_if_the_file_had_it() {
    let (golden, generator) = load("stylegan2_32", Kind::Float);
    let shapes = generator.noise_shapes();
    let sides: Vec<_> = shapes.iter().map(|shape| shape[3]).collect();
    assert_eq!(sides, [4, 8, 8, 16, 16, 32, 32]);
    let w_plus = golden.get("w_plus");
    let own = generator.noise();
    assert!(generator.synthesize_with(w_plus, &own, None).unwrap().equal(&generator.synthesize(w_plus).unwrap()));

    // Another noise for each of the two items: noise_i of item b is a shifted and scaled copy of the file's.
    let altered = |i: usize, b: i64| own[i].roll([1 + b, 2], [2, 3]) * (1.5 - 0.2 * b as f64) + 0.01 * i as f64;
    let both: Vec<_> = (0..own.len()).map(|i| Tensor::cat(&[altered(i, 0), altered(i, 1)], 0)).collect();
    let images = generator.synthesize_with(w_plus, &both, None).unwrap();
    for b in 0..2 {
        let as_file =
            reload(&golden, Kind::Float, |name, _| Some(altered(name.strip_prefix("noises.noise_")?.parse().ok()?, b)));
        let expected = as_file.synthesize(&w_plus.narrow(0, b, 1)).unwrap();
        assert!(relative_error(&images.narrow(0, b, 1), &expected) < BATCH_TOLERANCE);
    }
    let at_8 = generator.synthesize_with(w_plus, &both, Some(8)).unwrap();
    assert!(relative_error(&at_8, &generator.synthesize_at(w_plus, 8).unwrap()) > 1e-3);

    // Each of the inputs is read, and its gradient is per item.
    let leaves: Vec<_> = both.iter().map(leaf).collect();
    let loss = generator.synthesize_with(w_plus, &leaves, None).unwrap().get(0).square().sum(None);
    for gradient in Tensor::run_backward(&[loss], &leaves, false, false) {
        assert!(gradient.get(0).abs().max().double_value(&[]) > 0.0);
        assert_eq!(gradient.get(1).abs().max().double_value(&[]), 0.0);
    }
    assert!(matches!(generator.synthesize_with(w_plus, &both[1..], None), Err(NetworkError::Argument { .. })));
    let three = Tensor::zeros([3, 1, 4, 4], (Kind::Float, Device::Cpu));
    let wrong: Vec<_> = std::iter::once(&three).chain(&both[1..]).map(Tensor::shallow_clone).collect();
    assert!(matches!(generator.synthesize_with(w_plus, &wrong, None), Err(NetworkError::Shape { .. })));
}

/// Factors of rank 2 for the named convolutions (all, if none is named), of about the size of the weights.
fn delta(generator: &Generator, only: &[&str]) -> Delta {
    let mut changes = std::collections::BTreeMap::new();
    for (i, (name, size)) in generator.convolutions().into_iter().enumerate() {
        if only.is_empty() || only.contains(&name.as_str()) {
            let (rows, columns) = (size[0], size[1..].iter().product::<i64>());
            let wave = |n: i64, m: i64, by: f64| {
                (Tensor::arange(n * m, (Kind::Double, Device::Cpu)) * (by + i as f64)).sin().view([n, m])
            };
            changes.insert(name, LowRank { u: wave(rows, 2, 1.3) * 0.5, v: wave(2, columns, 0.7) });
        }
    }
    Delta(changes)
}

/// The stored weight plus `u v`, for every convolution of the delta.
fn added(delta: &Delta, name: &str, tensor: &Tensor) -> Option<Tensor> {
    let change = delta.0.get(name)?;
    Some(tensor.to_kind(Kind::Double) + change.u.matmul(&change.v).view_as(tensor))
}

/// A changed generator draws what a file with the changed weights draws, and its factors get the gradients that the
/// weights of such a file would give them.
#[test]
fn changed_weights_are_as_if_the_file_had_them() {
    let (golden, generator) = load("stylegan2_32", Kind::Double);
    let w_plus = golden.get("w_plus").to_kind(Kind::Double);
    for only in [&[][..], &["convs.2.conv.weight"], &["to_rgbs.1.conv.weight", "conv1.conv.weight"]] {
        let delta = delta(&generator, only);
        let changed = generator.with_delta(&delta).unwrap().synthesize(&w_plus).unwrap();
        let expected = reload(&golden, Kind::Double, |name, tensor| added(&delta, name, tensor));
        assert!(relative_error(&changed, &expected.synthesize(&w_plus).unwrap()) < 1e-12);
        assert!(relative_error(&changed, &generator.synthesize(&w_plus).unwrap()) > 1e-3);
    }
    let (_, half) = load("stylegan2_32", Kind::Half);
    let delta = delta(&generator, &[]);
    let rounded = half.with_delta(&delta).unwrap().synthesize(golden.get("w_plus")).unwrap();
    let exact = generator.with_delta(&delta).unwrap().synthesize(&w_plus).unwrap();
    let error = relative_error(&rounded, &exact);
    assert!(error < 2e-2, "{error:.2e}");
}

#[test]
fn gradients_reach_the_factors_of_a_change() {
    let (golden, generator) = load("stylegan2_32", Kind::Double);
    let w_plus = golden.get("w_plus").to_kind(Kind::Double);
    let probe = golden.get("probe").to_kind(Kind::Double);
    let start = delta(&generator, &[]);
    let loss = |delta: &Delta| (generator.with_delta(delta).unwrap().synthesize(&w_plus).unwrap() * &probe).sum(None);
    for name in ["conv1.conv.weight", "convs.2.conv.weight", "convs.3.conv.weight", "to_rgbs.2.conv.weight"] {
        let with = |u: Tensor, v: Tensor| {
            let mut changed = delta(&generator, &[]);
            changed.0.insert(name.to_owned(), LowRank { u, v });
            changed
        };
        let (u, v) = (leaf(&start.0[name].u), leaf(&start.0[name].v));
        let leaves = [u.shallow_clone(), v.shallow_clone()];
        let gradients = Tensor::run_backward(&[loss(&with(u, v))], &leaves, false, false);
        // Along a direction of both factors at once, against the difference quotient.
        let (du, dv) = (start.0[name].u.cos(), start.0[name].v.cos());
        let analytic = ((&gradients[0] * &du).sum(None) + (&gradients[1] * &dv).sum(None)).double_value(&[]);
        let at = |h: f64| loss(&with(&start.0[name].u + &du * h, &start.0[name].v + &dv * h)).double_value(&[]);
        let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!((analytic - numeric).abs() < 1e-6 * analytic.abs().max(1.0), "{name}: {analytic} {numeric}");
    }
}

#[test]
fn an_impossible_change_is_refused_by_name() {
    let (_, generator) = load("stylegan2_16", Kind::Float);
    let ones = |rows, columns| Tensor::ones([rows, columns], (Kind::Float, Device::Cpu));
    let try_with = |name: &str, u: Tensor, v: Tensor| {
        generator.with_delta(&Delta([(name.to_owned(), LowRank { u, v })].into())).unwrap_err().to_string()
    };
    let error = try_with("convs.9.conv.weight", ones(8, 2), ones(2, 72));
    assert!(error.contains("convs.9.conv.weight") && error.contains("to_rgb1.conv.weight"), "{error}");
    let (name, size) = generator.convolutions().remove(0);
    let columns = size[1] * 9;
    for (u, v) in [
        (ones(size[0], 2), ones(2, columns - 1)),
        (ones(size[0] + 1, 2), ones(2, columns)),
        (ones(size[0], 2), ones(3, columns)),
        (ones(size[0], 0), ones(0, columns)),
    ] {
        let error = try_with(&name, u, v);
        assert!(error.contains(&name) && error.contains(&columns.to_string()), "{error}");
    }
}
