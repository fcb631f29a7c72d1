//! Inversion of the demo's faces.

use crate::demo;
use domain::Reason;
use domain::inversion::{Inversion, LatentSpace, PivotalTuning, Projection, Refinement};
use editing::draw::{Own, Painter};
use editing::guidance::Draw;
use editing::invert::quality::quality;
use editing::invert::{Inverted, invert};
use editing::{Control, Directive, Engine, Stop, Unhindered, latent, raster};
use tch::Tensor;

mod noisy;
mod perceptual;
mod projector;

fn refine(steps: u32) -> Inversion {
    Inversion::Hybrid(Refinement { steps, ..Refinement::default() })
}

fn project(space: LatentSpace, steps: u32) -> Inversion {
    Inversion::Optimise(Projection { space, steps, ..Projection::default() })
}

fn tune(pivot: u32, steps: u32) -> Inversion {
    let pivot = Refinement { steps: pivot, ..Refinement::default() };
    Inversion::Pivotal(PivotalTuning { pivot, steps, ..PivotalTuning::default() })
}

fn inverted(engine: &Engine, method: &Inversion, images: &Tensor) -> Vec<Inverted> {
    let ids: Vec<_> = (0..images.size()[0] as usize).collect();
    let results = invert(engine, method, images, &ids, &[], &mut Unhindered).expect("the batch is computed");
    results.into_iter().map(Result::unwrap).collect()
}

/// What is drawn of inversions, as published.
fn drawn(engine: &Engine, found: &[Inverted]) -> Tensor {
    let stack: Vec<_> = found.iter().map(|end| end.latent.shallow_clone()).collect();
    let painter = Painter::new(engine, found.iter().map(|end| Some(&end.own)).collect()).unwrap();
    let rows: Vec<_> = (0..found.len()).collect();
    raster::as_published(&painter.draw(&rows, &Tensor::stack(&stack, 0), None).unwrap()).unwrap()
}

fn decibels(engine: &Engine, images: &Tensor, found: &[Inverted]) -> Vec<f64> {
    quality(engine, images, &drawn(engine, found)).unwrap().iter().map(|quality| quality.psnr).collect()
}

/// The report of the pack: 25.5 dB from the encoder alone, 26.9 dB after 100 steps.
#[test]
fn refinement_draws_every_face_better_than_the_encoder_alone() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..8);
    let encoded = inverted(&engine, &Inversion::Encoder {}, &images);
    let refined = inverted(&engine, &refine(30), &images);
    let (coarse, fine) = (decibels(&engine, &images, &encoded), decibels(&engine, &images, &refined));
    assert!(coarse.iter().all(|db| *db > 20.0), "{coarse:?}");
    assert!(coarse.iter().zip(&fine).all(|(c, f)| f > c), "{coarse:?} {fine:?}");
    assert!(refined.iter().all(|d| d.steps == 30 && d.loss.len() == 30 && d.loss[29] < d.loss[0]));
    assert!(encoded.iter().chain(&refined).all(|end| end.own.is_empty()));
}

/// From the mean latent, so without the encoder's help; W has too little room for a face, W+ has enough.
#[test]
fn the_projector_finds_faces_and_w_plus_finds_them_better() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..2);
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let in_w = inverted(&engine, &project(LatentSpace::W, 80), &images);
    let in_w_plus = inverted(&engine, &project(LatentSpace::WPlus, 80), &images);
    for end in &in_w {
        let first = end.latent.get(0);
        assert!((1..engine.n_latent()).all(|layer| end.latent.get(layer).equal(&first)), "one vector for all layers");
    }
    let [w, w_plus] = [&in_w, &in_w_plus].map(|found| mean(decibels(&engine, &images, found)));
    assert!(w > 15.0 && w_plus > w + 1.0, "{w} {w_plus}");
    // This pack's generator has no noise, so there was none to find.
    assert!(in_w_plus.iter().all(|end| end.own.is_empty() && end.steps == 80 && end.loss.len() == 80));
}

#[test]
fn tuning_draws_every_face_better_than_its_pivot_and_from_a_small_file() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let pivots = inverted(&engine, &refine(20), &images);
    let tuned = inverted(&engine, &tune(20, 40), &images);
    let (before, after) = (decibels(&engine, &images, &pivots), decibels(&engine, &images, &tuned));
    assert!(before.iter().zip(&after).all(|(b, a)| *a > b + 1.0), "{before:?} {after:?}");
    for (pivot, end) in pivots.iter().zip(&tuned) {
        assert!((&pivot.latent - &end.latent).abs().max().double_value(&[]) < 1e-6, "the pivot stays");
        assert_eq!((end.steps, end.loss.len()), (60, 60));
        let rounding = end.rounding.expect("weights were changed");
        // A copy of the generator's convolutions in f16 is 1.6 MB.
        assert!(rounding.bytes < 120_000 && rounding.mse > 0.0 && rounding.mse < 1e-6, "{rounding:?}");
        let file = latent::inversion_to_bytes(&end.latent, &end.own, Some("a note".to_owned())).unwrap();
        let (back, own) = latent::inversion_from_bytes(&file, engine.generator()).unwrap();
        assert!(back.equal(&end.latent));
        let reread = Inverted { latent: back, own, rounding: None, loss: Vec::new(), steps: 0 };
        let again = drawn(&engine, &[reread]);
        assert!(again.equal(&drawn(&engine, std::slice::from_ref(end))), "a file draws what its maker drew");
        assert!(latent::from_bytes(&file, engine.n_latent(), engine.w_dim(), engine.device()).is_err());
    }
}

#[test]
fn a_face_is_inverted_alike_alone_and_in_company_and_in_any_order() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let order = [2_i64, 0, 1];
    let shuffled = images.index_select(0, &Tensor::from_slice(&order));
    let methods =
        [Inversion::Encoder {}, refine(8), project(LatentSpace::W, 8), project(LatentSpace::WPlus, 8), tune(2, 4)];
    for method in methods {
        let together = inverted(&engine, &method, &images);
        let moved = inverted(&engine, &method, &shuffled);
        let near = |a: &Inverted, b: &Inverted, what: &str| {
            // Seen: 6e-5, of entries of the order of 2. Adam turns rounding in tiny gradients into small moves.
            let gap = (&a.latent - &b.latent).abs().max().double_value(&[]);
            assert!(gap < 1e-3, "{method:?}, {what}: {gap}");
            let image = |end: &Inverted| drawn(&engine, std::slice::from_ref(end));
            let gap = (image(a) - image(b)).abs().mean(None).double_value(&[]);
            assert!(gap < 1e-3, "{method:?}, image {what}: {gap}");
        };
        for (place, &face) in order.iter().enumerate() {
            near(&moved[place], &together[face as usize], "in another order");
        }
        for face in [0, 2] {
            let alone = inverted(&engine, &method, &images.narrow(0, face, 1));
            near(&alone[0], &together[face as usize], "alone");
        }
    }
}

#[test]
fn an_image_that_is_not_finite_fails_alone() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let _ = images.get(1).fill_(f64::NAN);
    for method in [Inversion::Encoder {}, refine(3), project(LatentSpace::WPlus, 3), tune(2, 2)] {
        let results = invert(&engine, &method, &images, &[0, 1, 2], &[], &mut Unhindered).unwrap();
        let reasons: Vec<_> = results
            .iter()
            .map(|result| match result {
                Err(Stop::Failed(error)) => Some(error.reason()),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, [None, Some(Reason::NonFinite), None], "{method:?}");
    }
}

/// Yields at a step of the whole course, and cancels the item called 7.
struct Interruption {
    at: u32,
    seen: Vec<(u32, u32)>,
}

impl Control for Interruption {
    fn before_step(&mut self, step: u32, steps: u32) -> Directive {
        self.seen.push((step, steps));
        if step >= self.at { Directive::Yield } else { Directive::Continue }
    }

    fn is_cancelled(&mut self, id: usize) -> bool {
        id == 7
    }
}

/// A pivotal inversion is one course: two steps for the pivots, then three for each item, told as one count.
#[test]
fn a_pivotal_inversion_stops_between_its_items_and_keeps_what_is_done() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let mut control = Interruption { at: 8, seen: Vec::new() };
    let ends = invert(&engine, &tune(2, 3), &images, &[5, 7, 9], &[], &mut control).unwrap();
    assert!(ends[0].is_ok(), "the first is done");
    assert!(matches!(ends[1], Err(Stop::Cancelled)), "cancelled in the pivot already");
    assert!(matches!(ends[2], Err(Stop::Yielded(_))), "the last was handed back");
    assert_eq!(control.seen, [(0, 11), (1, 11), (2, 11), (3, 11), (4, 11), (8, 11)]);
}

/// A micro-batch of all kinds is drawn as each of its items alone.
#[test]
fn a_painter_draws_items_with_and_without_weights_of_their_own() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let found = inverted(&engine, &tune(2, 4), &images);
    let plain = Own::default();
    let owns = vec![Some(&found[0].own), None, Some(&plain), Some(&found[1].own)];
    let painter = Painter::new(&engine, owns).unwrap();
    let latents = Tensor::stack(&[0, 1, 2, 0, 1].map(|i: usize| found[i].latent.shallow_clone()), 0);
    // Not all rows, not in order, one of them twice.
    let rows = [3, 1, 0, 2, 3];
    for side in [None, Some(16)] {
        let all = painter.draw(&rows, &latents, side).unwrap();
        for (place, row) in rows.into_iter().enumerate() {
            let latent = latents.narrow(0, place as i64, 1);
            let own = [Some(&found[0].own), None, None, Some(&found[1].own)][row];
            let expected = match own.and_then(|own| own.delta.as_ref()) {
                Some(delta) => {
                    let changed = engine.generator().with_delta(delta).unwrap();
                    changed.synthesize_at(&latent, side.unwrap_or(64)).unwrap()
                }
                None => engine.generator().synthesize_at(&latent, side.unwrap_or(64)).unwrap(),
            };
            let gap = (all.narrow(0, place as i64, 1) - expected).abs().max().double_value(&[]);
            assert!(gap < 1e-5, "place {place}: {gap}");
        }
    }
    assert!(painter.draw(&[4], &latents.narrow(0, 0, 1), None).is_err());
}
