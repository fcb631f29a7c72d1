//! Latents and input gradients of every member of the family.

use networks::stylegan2::Generator;
use networks::{Encoder, EncoderArchitecture, EncoderFrame, NetworkError};
use tch::{Kind, Tensor};

use crate::formula::{fill, tensors, weights};
use crate::{DOUBLE, SINGLE, SINGLE_PAST_KINKS, check, golden, relative_error};

use EncoderArchitecture::{E4e, Psp, RestyleE4e, RestylePsp};
use EncoderFrame::{MiddleRows, Whole};

/// Every so many pixels of a gradient are in the goldens.
const STEP: i64 = 13;

fn load(file: &str, architecture: EncoderArchitecture, frame: EncoderFrame, kind: Kind) -> Encoder {
    let all = tensors(file, kind);
    let counters = all.iter().filter(|(name, _)| name.ends_with("num_batches_tracked")).count();
    assert!(counters > 0, "the reference's own state dict holds batch norm's counters");
    let count = all.len() - counters;
    let (encoder, report) = Encoder::load_framed(weights(all, kind).unwrap(), architecture, frame).unwrap();
    assert_eq!(report.tensors, count);
    assert_eq!((encoder.image_size(), encoder.n_latent(), encoder.w_dim()), (256, 16, 12));
    encoder
}

fn generator(kind: Kind) -> Generator {
    let (generator, _) = Generator::load(weights(tensors("generator", kind), kind).unwrap()).unwrap();
    assert_eq!(generator.resolution(), 512, "larger than what the encoder reads");
    generator
}

fn images(case: &str, kind: Kind) -> Tensor {
    fill(&format!("{case}.images"), &[2, 3, 256, 256], 1.0).to_kind(kind)
}

fn matches(file: &str, run: &str, architecture: EncoderArchitecture, frame: EncoderFrame) {
    tch::set_num_threads(1);
    let case = format!("{file}.{run}");
    let restyle = matches!(architecture, RestylePsp | RestyleE4e);
    for (kind, of_latents, of_gradient) in [(Kind::Double, DOUBLE, DOUBLE), (Kind::Float, SINGLE, SINGLE_PAST_KINKS)] {
        let encoder = load(file, architecture, frame, kind);
        let images = images(&case, kind).set_requires_grad(true);
        let generator = restyle.then(|| generator(kind));
        let latents = match &generator {
            Some(generator) => encoder.encode_with(&images, &|w_plus| generator.synthesize(w_plus)).unwrap(),
            None => encoder.encode(&images).unwrap(),
        };
        check(&format!("{case} latents"), &latents, &golden(&format!("{case}.latents")), of_latents);
        let probe = fill(&format!("{case}.probe"), &latents.size(), 1.0).to_kind(kind);
        (&latents * probe).sum(kind).backward();
        let gradient = images.grad().slice(2, None, None, STEP).slice(3, None, None, STEP);
        check(&format!("{case} gradient"), &gradient, &golden(&format!("{case}.gradient")), of_gradient);
    }
}

#[test]
fn psp_matches() {
    matches("pyramid", "psp", Psp, Whole);
}

#[test]
fn e4e_matches() {
    matches("pyramid", "e4e", E4e, Whole);
}

/// 192x256 px: the style blocks round the sides of their maps up on the way to a point.
#[test]
fn e4e_of_cars_matches() {
    matches("pyramid", "e4e-cars", E4e, MiddleRows);
}

#[test]
fn psp_into_w_matches() {
    matches("w", "psp", Psp, Whole);
}

#[test]
fn restyle_over_psp_matches() {
    matches("last", "restyle-psp", RestylePsp, Whole);
}

#[test]
fn restyle_over_e4e_matches() {
    matches("last", "restyle-e4e", RestyleE4e, Whole);
}

#[test]
fn restyle_on_resnet34_matches() {
    matches("resnet", "restyle-e4e", RestyleE4e, Whole);
}

#[test]
fn restyle_of_cars_matches() {
    matches("resnet", "restyle-psp-cars", RestylePsp, MiddleRows);
}

#[test]
fn restyle_with_a_pyramid_matches() {
    matches("resnet-pyramid", "restyle-psp", RestylePsp, Whole);
}

#[test]
fn an_item_does_not_depend_on_its_batch_mates() {
    tch::set_num_threads(1);
    let encoder = load("resnet", RestyleE4e, Whole, Kind::Float);
    let generator = generator(Kind::Float);
    let invert =
        |images: &Tensor| tch::no_grad(|| encoder.encode_with(images, &|w_plus| generator.synthesize(w_plus)).unwrap());
    let images = images("mates", Kind::Float);
    let together = invert(&images);
    for i in 0..2 {
        assert!(relative_error(&invert(&images.narrow(0, i, 1)), &together.narrow(0, i, 1)) < 1e-5);
    }
    assert!(together.equal(&invert(&images)), "the same call twice must give the same bits");
    assert!(relative_error(&together.narrow(0, 0, 1), &together.narrow(0, 1, 1)) > 1e-3);
}

/// One render of the mean latent for all items, and one of each item's before each further pass.
#[test]
fn restyle_renders_once_a_pass() {
    tch::set_num_threads(1);
    let encoder = load("resnet", RestyleE4e, Whole, Kind::Float);
    let generator = generator(Kind::Float);
    let seen = std::cell::RefCell::new(Vec::new());
    let render = |w_plus: &Tensor| {
        seen.borrow_mut().push(w_plus.size()[0]);
        generator.synthesize(w_plus)
    };
    let latents = tch::no_grad(|| encoder.encode_with(&images("passes", Kind::Float), &render)).unwrap();
    assert_eq!(latents.size(), [2, 16, 12]);
    assert_eq!(*seen.borrow(), [1, 2, 2, 2, 2]);

    let fails = |_: &Tensor| Err(NetworkError::NotFinite { what: "the render" });
    let error = encoder.encode_with(&images("passes", Kind::Float), &fails).unwrap_err();
    assert!(matches!(error, NetworkError::NotFinite { what: "the render" }), "{error}");
}
