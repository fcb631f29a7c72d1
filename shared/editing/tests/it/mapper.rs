//! The mapper against a plain PyTorch reading of one trained beside the demo pack (`mapper/make_golden.py`).

use crate::{demo, difference, golden, take};
use domain::Reason;
use editing::mapper::{Mapper, Shape};
use editing::score::{self, Goal};
use editing::{EditError, EditText, raster};

const SHAPE: Shape = Shape { n_latent: 10, w_dim: 128, text_dim: 128, depth: 4 };
const TEXT: &str = "a face with green hair";

#[test]
fn the_change_is_the_references() {
    let parameters = SHAPE.take(&mut golden("mapper/shipped.safetensors"), "").unwrap();
    let mut golden = golden("mapper/golden.safetensors");
    let mapper = Mapper::with_text(&SHAPE, &parameters, &take(&mut golden, "text")).unwrap();
    let change = mapper.change(&take(&mut golden, "latents")).unwrap();
    // Seven layers in f32 against f64.
    assert!(difference(&change, &take(&mut golden, "change")) < 1e-5);
}

/// The figures in the pack's card, on its 118 held-out faces that have hair: the whole chain from text to judge.
#[test]
fn a_shipped_mapper_reaches_its_figures_and_survives_its_file() {
    let engine = demo::engine();
    let text = EditText::encode(&engine, TEXT, "a face").unwrap();
    let mut file = golden("mapper/shipped.safetensors");
    let mapper = Mapper::with_text(&SHAPE, &SHAPE.take(&mut file, "").unwrap(), &text.mapper_input).unwrap();
    file.finish().unwrap();

    let latents = engine.encode(&demo::pictures(&engine, "faces/source", 0..64)).unwrap();
    let before = raster::as_published(&engine.render(&latents).unwrap()).unwrap();
    let edited = mapper.apply(&latents, 1.0).unwrap();
    let after = raster::as_published(&engine.render(&edited).unwrap()).unwrap();
    let goal = Goal { head: "hair_color".into(), class: "green".into(), tied: vec!["beard_color".into()] };
    let (before, after) =
        (score::read(&engine, &before).unwrap().unwrap(), score::read(&engine, &after).unwrap().unwrap());
    let hairy: Vec<_> = before.iter().zip(&after).filter(|(b, _)| b.class("hair_style") != Some("bald")).collect();
    let outcomes: Vec<_> = hairy.iter().map(|(b, a)| goal.outcome(b, a)).collect();
    let success = outcomes.iter().filter(|o| o.success).count() as f64 / outcomes.len() as f64;
    let preservation = outcomes.iter().map(|o| o.preservation).sum::<f64>() / outcomes.len() as f64;
    assert!(success >= 0.9, "{success}");
    assert!(preservation >= 0.87, "{preservation}");

    let bytes = mapper.to_bytes().unwrap();
    let back = Mapper::from_bytes(&bytes, &engine).unwrap();
    assert_eq!(back.to_bytes().unwrap(), bytes);
    assert!(back.apply(&latents, 1.0).unwrap().equal(&edited));
    assert!(back.apply(&latents, 0.0).unwrap().equal(&latents));
    assert!(matches!(Mapper::from_bytes(&bytes[..bytes.len() - 1], &engine), Err(EditError::Malformed { .. })));
    let latent = editing::latent::to_bytes(&latents.get(0)).unwrap();
    assert_eq!(Mapper::from_bytes(&latent, &engine).unwrap_err().reason(), Reason::Internal);
}
