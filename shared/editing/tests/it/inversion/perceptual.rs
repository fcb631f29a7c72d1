//! Inversion with a perceptual network: a narrow LPIPS on AlexNet with fixed pseudo-random weights, beside the demo's networks.

use super::{decibels, drawn, inverted};
use crate::demo;
use domain::Reason;
use domain::inversion::{Inversion, PivotalTuning, Projection, Refinement};
use editing::engine::PerceptualConfig;
use editing::invert::invert;
use editing::invert::quality::quality;
use editing::{Engine, EngineConfig, Unhindered};
use networks::perceptual::PerceptualArchitecture;
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn write_network(path: &Path) {
    let wave = |shape: &[i64], pace: f64| {
        let count: i64 = shape.iter().product();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)) * pace).sin().view(shape)
    };
    let mut tensors = Vec::new();
    let mut inputs = 3;
    for (k, (layer, outputs, side)) in [(0, 8, 11), (3, 10, 5), (6, 12, 3), (8, 12, 3), (10, 12, 3)].iter().enumerate()
    {
        let fan_in = (inputs * side * side) as f64;
        let weight = wave(&[*outputs, inputs, *side, *side], 1.7 + k as f64) * (2.0 / fan_in).sqrt();
        tensors.push((format!("features.{layer}.weight"), weight));
        tensors.push((format!("features.{layer}.bias"), wave(&[*outputs], 0.9) * 0.1));
        tensors.push((format!("lin{k}.model.1.weight"), wave(&[1, *outputs, 1, 1], 2.3).abs() / *outputs as f64));
        inputs = *outputs;
    }
    Tensor::write_safetensors(&tensors, path).unwrap();
}

fn engine() -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("perceptual.safetensors");
    write_network(&weights);
    tch::set_num_threads(1);
    let perceptual = Some(PerceptualConfig { weights, architecture: PerceptualArchitecture::LpipsAlex });
    Engine::open(&EngineConfig { perceptual, ..demo::config() }, Device::Cpu).unwrap()
}

#[test]
fn a_projection_may_compare_by_the_perceptual_network_alone_where_there_is_one() {
    let blind = Projection { pixel_weight: 0.0, steps: 60, ..Projection::default() };
    let method = Inversion::Optimise(blind);
    let engine = engine();
    let images = demo::pictures(&engine, "faces/source", 0..2);
    let found = inverted(&engine, &method, &images);
    let lpips = |images: &Tensor, drawn: &Tensor| -> Vec<f64> {
        quality(&engine, images, drawn).unwrap().iter().map(|quality| quality.lpips.unwrap()).collect()
    };
    assert_eq!(lpips(&images, &images), [0.0, 0.0]);
    let other = images.flip([0]);
    let (near, far) = (lpips(&images, &drawn(&engine, &found)), lpips(&images, &other));
    assert!(near.iter().zip(&far).all(|(near, far)| near < far), "{near:?} {far:?}");
    // The last loss is the distance itself: no pixels, and no latent noise any more.
    for (end, distance) in found.iter().zip(&near) {
        assert!((end.loss[59] / distance - 1.0).abs() < 0.1, "{} {distance}", end.loss[59]);
    }

    let without = demo::engine();
    let refused = invert(&without, &method, &images, &[0, 1], &[], &mut Unhindered).unwrap_err();
    assert_eq!(refused.reason(), Reason::PackInvalid);
    assert!(refused.to_string().contains("pixel_weight"), "{refused}");
}

#[test]
fn tuning_stops_once_the_perceptual_distance_is_below_its_threshold() {
    let engine = engine();
    let images = demo::pictures(&engine, "faces/source", 0..2);
    let tune = |stop_below: f64| {
        let pivot = Refinement { steps: 10, ..Refinement::default() };
        let tuning = PivotalTuning { pivot, steps: 40, stop_below, ..PivotalTuning::default() };
        inverted(&engine, &Inversion::Pivotal(tuning), &images)
    };
    let whole = tune(0.0);
    assert!(whole.iter().all(|end| end.steps == 50));
    // The loss is L2 + distance, so a threshold at the loss half-way is crossed before the end.
    let threshold = whole.iter().map(|end| end.loss[30]).fold(f64::MAX, f64::min);
    let stopped = tune(threshold);
    for (stopped, whole) in stopped.iter().zip(&whole) {
        assert!(stopped.steps > 10 && stopped.steps < 50, "{}", stopped.steps);
        assert!((stopped.loss[10] - whole.loss[10]).abs() < 1e-4, "the course is the same until then");
    }
    // Near enough from the start: no step at all, so the pivot is drawn unchanged.
    let idle = tune(10.0);
    assert!(idle.iter().all(|end| end.steps == 10 && end.rounding.is_some_and(|cost| cost.mse == 0.0)));
    let pivot = Refinement { steps: 10, ..Refinement::default() };
    let pivots = inverted(&engine, &Inversion::Hybrid(pivot), &images);
    let (a, b) = (decibels(&engine, &images, &idle), decibels(&engine, &images, &pivots));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.01), "{a:?} {b:?}");
}
