//! Inversion of the demo's faces.

use crate::demo;
use domain::Reason;
use domain::inversion::{Inversion, Refinement};
use editing::descent::Descended;
use editing::invert::invert;
use editing::{Engine, Stop, Unhindered, raster, score};
use tch::Tensor;

fn refine(steps: u32) -> Inversion {
    Inversion::Hybrid(Refinement { steps, ..Refinement::default() })
}

fn latents(engine: &Engine, method: &Inversion, images: &Tensor) -> Vec<Descended> {
    let ids: Vec<_> = (0..images.size()[0] as usize).collect();
    let results = invert(engine, method, images, &ids, &mut Unhindered).expect("the batch is computed");
    results.into_iter().map(Result::unwrap).collect()
}

fn quality(engine: &Engine, images: &Tensor, found: &[Descended]) -> Vec<f64> {
    let stack: Vec<_> = found.iter().map(|d| d.latent.shallow_clone()).collect();
    let drawn = raster::as_published(&engine.render(&Tensor::stack(&stack, 0)).expect("latents render"))
        .expect("latents render");
    score::psnr(images, &drawn).expect("sizes fit")
}

/// The report of the pack: 25.5 dB from the encoder alone, 26.9 dB after 100 steps.
#[test]
fn refinement_draws_every_face_better_than_the_encoder_alone() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..8);
    let encoded = latents(&engine, &Inversion::Encoder {}, &images);
    let refined = latents(&engine, &refine(30), &images);
    let (coarse, fine) = (quality(&engine, &images, &encoded), quality(&engine, &images, &refined));
    assert!(coarse.iter().all(|db| *db > 20.0), "{coarse:?}");
    assert!(coarse.iter().zip(&fine).all(|(c, f)| f > c), "{coarse:?} {fine:?}");
    assert!(refined.iter().all(|d| d.steps == 30 && d.loss.len() == 30 && d.loss[29] < d.loss[0]));
}

#[test]
fn a_face_is_inverted_alike_alone_and_in_company() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..8);
    for method in [Inversion::Encoder {}, refine(10)] {
        let together = latents(&engine, &method, &images);
        for face in [0, 5] {
            let alone = latents(&engine, &method, &images.narrow(0, face, 1));
            let gap = (&alone[0].latent - &together[face as usize].latent).abs().max().double_value(&[]);
            // Seen: 6e-5, of entries of the order of 2. Adam turns rounding in tiny gradients into small moves.
            assert!(gap < 1e-3, "{method:?}: {gap}");
        }
    }
}

#[test]
fn an_image_that_is_not_finite_fails_alone() {
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let _ = images.get(1).fill_(f64::NAN);
    for method in [Inversion::Encoder {}, refine(3)] {
        let results = invert(&engine, &method, &images, &[0, 1, 2], &mut Unhindered).unwrap();
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
