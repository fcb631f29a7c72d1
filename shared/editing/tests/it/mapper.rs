//! The mapper against a plain PyTorch reading of one trained beside the demo pack, and against the published network with
//! random weights (`mapper/make_golden.py`).

use crate::{demo, difference, golden, take};
use domain::Reason;
use domain::edit::{
    CfMapper, Layers, MapperNetwork, Method, Numerics, PixelNormAxis, ReleasedMapper, SourceFile, StyleclipMapper,
};
use editing::mapper::{Mapper, Partition, Shape};
use editing::score::{self, Goal};
use editing::{EditError, EditText, raster};
use tch::{Kind, Tensor};

const SHAPE: Shape = Shape {
    network: MapperNetwork::Compact,
    pixel_norm: PixelNormAxis::Channels,
    n_latent: 10,
    w_dim: 128,
    text_dim: Some(128),
    depth: 4,
    groups: Layers { coarse: true, medium: true, fine: true },
    layers: None,
    partition: Partition::BySize,
};
const PUBLISHED: Shape = Shape {
    network: MapperNetwork::Published,
    pixel_norm: PixelNormAxis::Layers,
    w_dim: 8,
    text_dim: Some(12),
    depth: 3,
    ..SHAPE
};
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

#[test]
fn the_published_network_is_the_references_with_its_switches_and_gradients() {
    let mut golden = golden("mapper/published.safetensors");
    let (latents, text) = (take(&mut golden, "latents"), take(&mut golden, "text"));
    let only_medium = Layers { coarse: false, medium: true, fine: false };
    for (case, shape) in [
        ("layers", PUBLISHED),
        ("channels", Shape { pixel_norm: PixelNormAxis::Channels, ..PUBLISHED }),
        ("untold", Shape { text_dim: None, ..PUBLISHED }),
        ("switched", Shape { groups: only_medium, ..PUBLISHED }),
    ] {
        let parameters: Vec<_> = shape.take(&mut golden, &format!("{case}.")).unwrap();
        let parameters: Vec<_> = parameters.into_iter().map(|p| p.set_requires_grad(true)).collect();
        let mapper = Mapper::with_text(&shape, &parameters, &text).unwrap();
        let change = mapper.change(&latents).unwrap();
        let reference = take(&mut golden, &format!("{case}/change"));
        assert!(difference(&change, &reference) < 1e-5, "{case}: {}", difference(&change, &reference));
        if case == "switched" {
            assert_eq!(change.narrow(1, 0, 4).abs().max().double_value(&[]), 0.0);
            assert!(change.narrow(1, 4, 2).abs().max().double_value(&[]) > 0.0);
        }
        if case == "layers" {
            let gradients = Tensor::run_backward(&[change.square().sum(Kind::Float)], &parameters, false, false);
            for ((name, _), gradient) in shape.parameters().iter().zip(&gradients) {
                let error = difference(gradient, &take(&mut golden, &format!("layers/grad.{name}")));
                assert!(error < 1e-5, "{name}: {error}");
            }
        }
    }
    golden.finish().unwrap();
}

/// Across the layers of a sequence of one there is nothing to average.
#[test]
fn in_the_published_network_the_text_mappers_see_signs_alone() {
    let mut golden = golden("mapper/published.safetensors");
    let (latents, text) = (take(&mut golden, "latents"), take(&mut golden, "text"));
    let parameters = PUBLISHED.take(&mut golden, "layers.").unwrap();
    let change = |text: &Tensor| Mapper::with_text(&PUBLISHED, &parameters, text).unwrap().change(&latents).unwrap();
    assert!(difference(&change(&(&text * 3.0)), &change(&text)) < 1e-5);
    assert!(difference(&change(&text.sign()), &change(&text)) < 1e-4);
    assert!(difference(&change(&-&text), &change(&text)) > 0.1);
}

/// The figures in the pack's card, on its 118 held-out faces that have hair: the whole chain from text to judge.
#[test]
fn a_shipped_mapper_reaches_its_figures_and_survives_its_file() {
    let engine = demo::engine();
    let text = EditText::encode(&engine, TEXT, "a face", &Numerics::default()).unwrap();
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

/// Both networks, with and without text, switched and confined: what is written is what is read, and moves as before.
#[test]
fn every_mapper_survives_its_file_and_keeps_to_its_layers() {
    let engine = demo::engine();
    let text = EditText::encode(&engine, TEXT, "a face", &Numerics::default()).unwrap();
    let latents = engine.encode(&demo::pictures(&engine, "faces/source", 0..2)).unwrap();
    let key = editing::rng::RngKey::new("test", &domain::Digest::of(b""), &domain::Digest::of(b""), 0);
    let groups = Layers { coarse: false, ..Layers::default() };
    for network in [MapperNetwork::Compact, MapperNetwork::Published] {
        let told = CfMapper { network, groups, ..CfMapper::default() };
        let guards = domain::edit::Guards { layers: Some([5, 8]), ..Default::default() };
        let untold = StyleclipMapper { network, guards, ..StyleclipMapper::default() };
        for (method, moved) in [(Method::CfMapper(told), 4..10), (Method::StyleclipMapper(untold), 5..9)] {
            let shape = Shape::of(&engine, &method, &text).unwrap();
            assert_eq!(shape.text_dim.is_some(), method.tells_text());
            let parameters = shape.initial(&key, engine.device()).unwrap();
            let mapper = Mapper::with_text(&shape, &parameters, &text.mapper_input).unwrap();
            let change = mapper.change(&latents).unwrap();
            for layer in 0..10 {
                let size = change.select(1, layer).abs().max().double_value(&[]);
                assert_eq!(size > 0.0, moved.contains(&layer), "{} layer {layer}: {size}", method.name());
            }
            let bytes = mapper.to_bytes().unwrap();
            let back = Mapper::from_bytes(&bytes, &engine).unwrap();
            assert!(back.to_bytes().unwrap() == bytes && back.change(&latents).unwrap().equal(&change));
        }
    }
}

#[test]
fn a_mapper_of_another_pack_or_version_is_refused_with_the_difference() {
    let engine = demo::engine();
    let text = Tensor::ones([12], (Kind::Float, engine.device()));
    let key = editing::rng::RngKey::new("test", &domain::Digest::of(b""), &domain::Digest::of(b""), 0);
    let refusal = |bytes: &[u8]| Mapper::from_bytes(bytes, &engine).unwrap_err().to_string();

    let foreign = Shape { n_latent: 18, ..PUBLISHED };
    let parameters = foreign.initial(&key, engine.device()).unwrap();
    let foreign = Mapper::with_text(&foreign, &parameters, &text).unwrap().to_bytes().unwrap();
    let error = refusal(&foreign);
    assert!(
        error.contains("another pack") && error.contains("18 latents of 8") && error.contains("10 of 128"),
        "{error}"
    );

    let older = String::from_utf8_lossy(&foreign).find("mapper/2").expect("the format is in the note");
    let mut older_bytes = foreign.clone();
    older_bytes[older..older + 8].copy_from_slice(b"mapper/1");
    let error = refusal(&older_bytes);
    assert!(error.contains("'mapper/1'") && error.contains("'mapper/2'"), "{error}");
}

/// The three kinds of released mappers, from their files to the change that their networks make.
#[test]
fn a_released_mapper_gets_its_text_where_it_is_used() {
    let engine = demo::engine();
    let latents = engine.encode(&demo::pictures(&engine, "faces/source", 0..2)).unwrap();
    let key = editing::rng::RngKey::new("test", &domain::Digest::of(b""), &domain::Digest::of(b""), 0);
    let feature = engine.raw_text_feature(TEXT).unwrap();
    let told = Shape { w_dim: 128, text_dim: Some(feature.size()[0]), partition: Partition::Released, ..PUBLISHED };
    let untold = Shape { text_dim: None, ..told };
    let single = Shape { partition: Partition::Whole, ..untold };
    let published = |kind| Method::repro_2022(kind).unwrap();
    for (shape, method, other) in [
        (told, published("cf-mapper"), published("styleclip-mapper")),
        (untold, published("styleclip-mapper"), published("cf-mapper")),
        (single, published("styleclip-mapper"), published("cf-mapper")),
    ] {
        let parameters = shape.initial(&key, engine.device()).unwrap();
        let wanted = Mapper::with_text(&shape, &parameters, &feature).unwrap();
        let note = |generator| ReleasedMapper {
            format: ReleasedMapper::FORMAT.to_owned(),
            n_latent: 10,
            w_dim: 128,
            text_dim: shape.text_dim.map(|width| width as u32),
            groups: shape.groups,
            single: shape.partition == Partition::Whole,
            generator: Some(generator),
            text: None,
            source: SourceFile { file: "best_model.pt".to_owned(), sha256: domain::Digest::of("a checkpoint") },
        };
        let named: Vec<_> = shape.parameters().into_iter().map(|(name, _)| name).zip(&parameters).collect();
        let write = |note: &ReleasedMapper| {
            editing::artifact::to_bytes("mapper", &named, Some(serde_json::to_string(note).unwrap())).unwrap()
        };
        let bytes = write(&note(engine.generator_digest()));
        let opened = Mapper::open(&bytes, &engine, &method, TEXT).unwrap();
        assert!(opened.change(&latents).unwrap().equal(&wanted.change(&latents).unwrap()));
        // 4, 4 and 2 layers, where mappers that are trained here have 4, 2 and 4
        assert_eq!(opened.shape().partition, shape.partition);
        let elsewhere = Mapper::open(&bytes, &engine, &method, "a face with purple hair").unwrap();
        let same = elsewhere.change(&latents).unwrap().equal(&opened.change(&latents).unwrap());
        assert_eq!(same, shape.text_dim.is_none(), "CF-CLIP's is told the edit's own text");

        let refusal =
            |bytes: &[u8], method: &Method| Mapper::open(bytes, &engine, method, TEXT).unwrap_err().to_string();
        assert!(refusal(&bytes, &other).contains(&format!("use {}", method.name())));
        let foreign = write(&note(domain::Digest::of("another generator")));
        assert!(refusal(&foreign, &method).contains("another pack"));
        let later = ReleasedMapper { format: "released-mapper/2".to_owned(), ..note(engine.generator_digest()) };
        assert!(refusal(&write(&later), &method).contains("released-mapper/1"));
    }
}
