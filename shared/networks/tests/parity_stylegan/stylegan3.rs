//! StyleGAN3: configuration T as published but for its size, R with every setting another than published.

use networks::stylegan3::{Config, Generator};
use networks::{LoadError, LoadReport, NetworkError};
use tch::{Device, Kind, Tensor};

use crate::formula::{tensors, weights};
use crate::{Door, latents, matches, relative_error, render};

pub const T: &str = "stylegan3-t";
pub const R: &str = "stylegan3-r";

pub fn config(case: &str) -> Config {
    if case == T {
        return Config::default();
    }
    Config {
        num_critical: 1,
        first_cutoff: 3.0,
        first_stopband: 5.5,
        last_stopband_rel: 1.4,
        margin_size: 3,
        output_scale: 0.5,
        conv_clamp: Some(1.25),
    }
}

/// Loads a case after a change to its tensors.
pub fn changed(
    case: &str,
    config: Config,
    change: impl FnOnce(&mut Vec<(String, Tensor)>),
) -> Result<(Generator, LoadReport), LoadError> {
    let mut tensors = tensors(case, Kind::Float);
    change(&mut tensors);
    Generator::load(weights(tensors, Kind::Float)?, config)
}

fn load(case: &str, kind: Kind) -> Generator {
    let (generator, report) = Generator::load(weights(tensors(case, kind), kind).unwrap(), config(case)).unwrap();
    assert_eq!(report.tensors, tensors(case, kind).len());
    generator
}

fn with_door<T>(generator: &Generator, run: impl FnOnce(&Door<'_>) -> T) -> T {
    run(&Door {
        n_latent: generator.n_latent(),
        map: &|z| generator.map(z),
        truncate: &|w| generator.truncate(w, 0.7),
        synthesize: &|w_plus| generator.synthesize(w_plus),
    })
}

#[test]
fn both_configurations_match() {
    for case in [T, R] {
        for kind in [Kind::Double, Kind::Float] {
            with_door(&load(case, kind), |door| matches(door, case, kind));
        }
    }
}

#[test]
fn sizes_come_from_the_file() {
    let t = load(T, Kind::Float);
    assert_eq!((t.resolution(), t.n_latent(), t.z_dim(), t.w_dim()), (32, 16, 10, 12));
    let sizes = t.architecture();
    assert_eq!((sizes.mapping_layers, sizes.kernel, sizes.radial), (2, 3, false));
    assert_eq!(sizes.layers[..2], [(36, 8), (36, 8)]);
    assert_eq!(sizes.layers[12..], [(52, 4), (32, 4), (32, 3)]);
    assert_eq!(t.latent_avg().unwrap().size(), [12]);
    let r = load(R, Kind::Float);
    assert_eq!((r.n_latent(), r.architecture().kernel, r.architecture().radial), (8, 1, true));
}

#[test]
fn an_item_does_not_depend_on_its_batch_mates() {
    for case in [T, R] {
        let generator = load(case, Kind::Float);
        with_door(&generator, |door| {
            let loud = Tensor::from_slice(&[1.0f32, 30.0]).view([2, 1, 1]);
            let w_plus = (latents(case, door.n_latent, Kind::Float).detach() * loud).set_requires_grad(true);
            let together = (door.synthesize)(&w_plus).unwrap();
            for i in 0..2 {
                let alone = (door.synthesize)(&w_plus.narrow(0, i, 1)).unwrap();
                assert!(relative_error(&alone, &together.narrow(0, i, 1)) < 1e-5);
            }
            // The gradient of one item's image is that item's alone.
            let loss = together.get(0).square().sum(None);
            let gradient = Tensor::run_backward(&[loss], &[&w_plus], false, false).remove(0);
            assert_eq!(gradient.get(1).abs().max().double_value(&[]), 0.0);
            let reached = |layer| gradient.get(0).get(layer).abs().max().double_value(&[]) > 0.0;
            assert!((0..door.n_latent).all(reached), "every latent is read");
        });
    }
}

/// The bound of the case is reached, or the goldens would not show where it is applied.
#[test]
fn the_bound_changes_the_image() {
    let free = changed(R, Config { conv_clamp: None, ..config(R) }, |_| ()).unwrap().0;
    let w_plus = latents(R, free.n_latent(), Kind::Float);
    let bounded = load(R, Kind::Float).synthesize(&w_plus).unwrap();
    assert!(relative_error(&free.synthesize(&w_plus).unwrap(), &bounded) > 0.01);
}

#[test]
fn one_latent_gives_one_image() {
    let generator = load(T, Kind::Float);
    with_door(&generator, |door| {
        let draw = || render(door, T, &latents(T, door.n_latent, Kind::Float)).0;
        assert!(draw().equal(&draw()), "the same call twice must give the same bits");
    });
}

#[test]
fn wrong_inputs_are_errors_that_name_both_shapes() {
    let generator = load(R, Kind::Float);
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    for size in [&[2, 7, 12][..], &[2, 8, 11], &[8, 12], &[0, 8, 12], &[], &[2, 8, 12, 1]] {
        let error = generator.synthesize(&zeros(size)).expect_err("wrong shape").to_string();
        assert!(error.contains("[any, 8, 12]") && error.contains(&format!("{size:?}")), "{error}");
    }
    assert!(generator.synthesize(&Tensor::new()).is_err());
    for error in [
        generator.map(&zeros(&[2, 12])).unwrap_err(),
        generator.truncate(&zeros(&[12]), 0.5).unwrap_err(),
        generator.broadcast(&zeros(&[2, 8, 12])).unwrap_err(),
    ] {
        assert!(matches!(error, NetworkError::Shape { .. }), "{error}");
    }
    let w = generator.map(&(zeros(&[2, 10]) + 1.0)).unwrap();
    let w_plus = generator.broadcast(&w).unwrap();
    assert!((0..8).all(|layer| w_plus.select(1, layer).equal(&w)));
}
