//! StyleGAN2 as stylegan2-ada-pytorch trains it: activations bounded, two mapping layers, z of another size than w.

use networks::stylegan2::{Generator, GeneratorConfig};
use tch::Kind;

use crate::formula::{tensors, weights};
use crate::{Door, golden, latents, matches, relative_error, render};

const CASE: &str = "stylegan2-ada";
const BOUND: f64 = 1.25;

fn load(conv_clamp: Option<f64>, kind: Kind) -> Generator {
    let (generator, report) =
        Generator::load_with(weights(tensors(CASE, kind), kind).unwrap(), GeneratorConfig { conv_clamp }).unwrap();
    assert_eq!(report.tensors, tensors(CASE, kind).len());
    assert_eq!(generator.config().conv_clamp, conv_clamp);
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
fn a_bounded_generator_matches() {
    for kind in [Kind::Double, Kind::Float] {
        let generator = load(Some(BOUND), kind);
        let architecture = generator.architecture();
        assert_eq!((generator.z_dim(), generator.w_dim(), architecture.mapping_layers), (10, 12, 2));
        assert_eq!(architecture.channels, [(4, 8), (8, 6), (16, 5)]);
        with_door(&generator, |door| matches(door, CASE, kind));
    }
}

/// The bound is what makes the difference, and one that nothing reaches makes none.
#[test]
fn only_a_bound_that_is_reached_changes_an_image() {
    let images = |bound| {
        let generator = load(bound, Kind::Float);
        with_door(&generator, |door| render(door, CASE, &latents(CASE, door.n_latent, Kind::Float)).0)
    };
    let free = images(None);
    assert!(relative_error(&free, &golden(&format!("{CASE}.images"))) > 0.1);
    assert!(free.equal(&images(Some(256.0))));
}

/// A changed generator keeps its bound.
#[test]
fn a_change_of_the_weights_keeps_the_bound() {
    let generator = load(Some(BOUND), Kind::Float);
    let w_plus = latents(CASE, generator.n_latent(), Kind::Float);
    let same = generator.with_delta(&networks::stylegan2::Delta::default()).unwrap();
    assert_eq!(same.config(), generator.config());
    assert!(same.synthesize(&w_plus).unwrap().equal(&generator.synthesize(&w_plus).unwrap()));
}
