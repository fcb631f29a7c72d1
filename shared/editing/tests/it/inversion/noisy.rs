//! Projection onto a generator with noise: the demo's, its noise switched on.

use super::{drawn, inverted};
use crate::demo;
use domain::inversion::{Inversion, Projection};
use editing::draw::{Own, Painter};
use editing::guidance::Draw;
use editing::{Engine, latent};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Writes the demo's generator with noise of strength 0.1 in every layer.
fn noisy_generator(path: &Path) {
    let mut tensors = Tensor::read_safetensors(demo::folder().join("pack/generator.safetensors")).unwrap();
    for (name, tensor) in &mut tensors {
        if name.ends_with(".noise.weight") {
            *tensor = tensor.full_like(0.1);
        }
    }
    for (layer, side) in [4, 8, 8, 16, 16, 32, 32, 64, 64].into_iter().enumerate() {
        // Any fixed pattern of about unit variance will do.
        let map = (Tensor::arange(side * side, (Kind::Float, Device::Cpu)) * (3.7 + layer as f64)).sin() * 2_f64.sqrt();
        tensors.push((format!("noises.noise_{layer}"), map.view([1, 1, side, side])));
    }
    Tensor::write_safetensors(&tensors, path).unwrap();
}

fn noisy_engine() -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generator.safetensors");
    noisy_generator(&path);
    tch::set_num_threads(1);
    Engine::open(&editing::EngineConfig { generator: path.into(), ..demo::config() }, Device::Cpu).unwrap()
}

fn equal_layers(a: &[Tensor], b: &[Tensor]) -> Vec<usize> {
    (0..a.len()).filter(|&layer| a[layer].equal(&b[layer])).collect()
}

fn project(optimise_noise: bool) -> Inversion {
    Inversion::Optimise(Projection { steps: 10, optimise_noise, ..Projection::default() })
}

#[test]
fn noise_is_found_per_item_and_kept() {
    let engine = noisy_engine();
    let images = demo::pictures(&engine, "faces/source", 0..3);
    let found = inverted(&engine, &project(true), &images);
    assert!(inverted(&engine, &project(false), &images).iter().all(|end| end.own.is_empty()));
    let maps = |place: usize| found[place].own.noise.as_ref().unwrap();
    assert_eq!(maps(0).len(), 9);
    for layer in 0..9 {
        for place in 0..3 {
            let map = maps(place)[layer].to_kind(Kind::Float);
            let (mean, square) = (map.mean(None).double_value(&[]), map.square().mean(None).double_value(&[]));
            assert!(mean.abs() < 1e-3 && (square - 1.0).abs() < 1e-3, "{layer}: {mean} {square}");
        }
    }
    // All start alike. The regulariser moves most of a coarse map, so that only fine ones show whose they are.
    assert!((5..9).all(|layer| !maps(0)[layer].equal(&maps(1)[layer])), "{:?}", equal_layers(maps(0), maps(1)));

    // Alone and in another order. Adam turns rounding in tiny gradients into small moves, and noise gradients are tiny.
    let order = [2_i64, 0, 1];
    let moved = inverted(&engine, &project(true), &images.index_select(0, &Tensor::from_slice(&order)));
    let alone = inverted(&engine, &project(true), &images.narrow(0, 1, 1));
    for (other, place) in [(&moved[0], 2), (&moved[1], 0), (&moved[2], 1), (&alone[0], 1)] {
        let gap = (&other.latent - &found[place].latent).abs().max().double_value(&[]);
        assert!(gap < 1e-2, "{gap}");
        for (a, b) in other.own.noise.as_ref().unwrap().iter().zip(maps(place)) {
            let gap = (a - b).to_kind(Kind::Float).abs().mean(None).double_value(&[]);
            assert!(gap < 1e-2, "{gap}");
        }
    }

    // Stacked in one pass as one by one; an item without noise of its own has the checkpoint's.
    let none = Own::default();
    let owns = vec![Some(&found[0].own), Some(&none), Some(&found[2].own)];
    let painter = Painter::new(&engine, owns).unwrap();
    let latents = Tensor::stack(&[0, 1, 2].map(|i: usize| found[i].latent.shallow_clone()), 0);
    let all = painter.draw(&[0, 1, 2], &latents, None).unwrap();
    for place in 0..3 {
        let latent = latents.narrow(0, place, 1);
        let expected = match place {
            1 => engine.render(&latent).unwrap(),
            _ => engine.generator().synthesize_with(&latent, maps(place as usize), None).unwrap(),
        };
        assert!((all.narrow(0, place, 1) - expected).abs().max().double_value(&[]) < 1e-5);
    }

    // The file, and a generator that it is not for.
    let file = latent::inversion_to_bytes(&found[0].latent, &found[0].own, None).unwrap();
    let (_, own) = latent::inversion_from_bytes(&file, engine.generator()).unwrap();
    assert!(own.noise.unwrap().iter().zip(maps(0)).all(|(a, b)| a.equal(&b.to_kind(Kind::Float))));
    let silent = demo::engine();
    let refused = latent::inversion_from_bytes(&file, silent.generator()).unwrap_err().to_string();
    assert!(refused.contains("noise.0"), "{refused}");
    assert_eq!(drawn(&engine, &found).size(), images.size());
}
