//! The face detector against facenet-pytorch's own; `make_goldens.py` says how the data is made again.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use networks::{Detector, Face, Weights};
use tch::{Device, Kind, Tensor};

/// Boxes and landmarks, px. The same numbers are kept and summed in another order: what is left is single precision's rounding at
/// coordinates of a few hundred.
const PIXELS: f32 = 1e-3;
const PROBABILITY: f32 = 1e-5;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity_detector/data").join(name)
}

/// Uniform in `[-scale, scale)`: `fill` in make_goldens.py.
fn fill(name: &str, shape: &[i64], scale: f64) -> Tensor {
    let seed = name.bytes().fold(0x811C_9DC5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let count = shape.iter().product::<i64>() as u32;
    let values: Vec<f64> = (0..count)
        .map(|i| {
            let mut x = i.wrapping_mul(0x9E37_79B1).wrapping_add(seed);
            x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
            x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
            (f64::from(x ^ (x >> 16)) / 2f64.powi(31) - 1.0) * scale
        })
        .collect();
    Tensor::from_slice(&values).view(shape).to_kind(Kind::Float)
}

/// `parameter` in make_goldens.py.
fn parameter(name: &str, shape: &[i64]) -> Tensor {
    let (layer, part) = name.rsplit_once('.').unwrap();
    let head = match layer {
        "pnet.conv4_1" => Some((2.0, 0.2_f32)),
        "rnet.dense5_1" | "onet.dense6_1" => Some((4.0, 1.5)),
        _ => None,
    };
    let moves = match layer {
        "pnet.conv4_2" | "rnet.dense5_2" | "onet.dense6_2" => 0.2,
        "onet.dense6_3" => 0.3,
        _ => 1.0,
    };
    if layer.contains("prelu") {
        return fill(name, shape, 0.2) + 0.25;
    }
    if part == "bias" {
        return match head {
            Some((_, face)) => Tensor::from_slice(&[0.0, face]),
            None if layer == "onet.dense6_3" => fill(name, shape, 0.4) + 0.5,
            None => fill(name, shape, 0.05),
        };
    }
    let gain = head.map_or(moves, |(gain, _)| gain);
    let inputs = shape[1..].iter().product::<i64>() as f64;
    fill(name, shape, gain * (6.0 / inputs).sqrt())
}

fn tensors() -> BTreeMap<String, Tensor> {
    let json = std::fs::read(data("tensors.json")).unwrap();
    let shapes: BTreeMap<String, Vec<i64>> = serde_json::from_slice(&json).unwrap();
    shapes.into_iter().map(|(name, shape)| (name.clone(), parameter(&name, &shape))).collect()
}

fn load(tensors: BTreeMap<String, Tensor>) -> Result<Detector, networks::LoadError> {
    tch::set_num_threads(1);
    Detector::load(Weights::from_tensors("mtcnn", tensors, Device::Cpu, Kind::Float)?).map(|(detector, _)| detector)
}

/// All numbers of a face in the order of the goldens, and how far each may be off.
fn row(face: &Face) -> Vec<(f32, f32)> {
    let pixels = |value: &f32| (*value, PIXELS);
    let bounds = face.bounds.iter().map(pixels);
    bounds.chain([(face.probability, PROBABILITY)]).chain(face.landmarks.iter().flatten().map(pixels)).collect()
}

#[test]
fn faces_are_those_of_facenet_pytorch() {
    let detector = load(tensors()).unwrap();
    let goldens: BTreeMap<String, Tensor> =
        Tensor::read_safetensors(data("goldens.safetensors")).unwrap().into_iter().collect();
    for (picture, count) in [("wide", 10), ("tall", 9), ("smallest", 0), ("grey", 0)] {
        let pixels = &goldens[&format!("{picture}.pixels")];
        let (height, width) = (pixels.size()[0] as usize, pixels.size()[1] as usize);
        let bytes = Vec::<u8>::try_from(&pixels.flatten(0, 2)).unwrap();
        let found = detector.detect(&bytes, width, height).unwrap();
        assert_eq!(found.len(), count, "{picture}");
        let Some(theirs) = goldens.get(&format!("{picture}.faces")) else { continue };
        let theirs = Vec::<f32>::try_from(&theirs.flatten(0, 1)).unwrap();
        let ours: Vec<_> = found.iter().flat_map(row).collect();
        assert_eq!(ours.len(), theirs.len());
        let errors = ours.iter().zip(&theirs).map(|((ours, allowed), theirs)| (ours - theirs).abs() / allowed);
        let worst = errors.fold(0.0, f32::max);
        println!("{picture}: {count} faces, at most {worst} of what is allowed");
        assert!(worst <= 1.0, "{picture}: {worst} times what is allowed");
    }
}

#[test]
fn pictures_that_hold_no_face_hold_none_and_other_bytes_are_refused() {
    let detector = load(tensors()).unwrap();
    // facenet-pytorch fails on an image below its least face
    assert_eq!(detector.detect(&[90; 19 * 300 * 3], 300, 19).unwrap(), []);
    let refused = detector.detect(&[0; 100], 10, 10).unwrap_err().to_string();
    assert!(refused.contains("10 x 10 x 3 bytes"), "{refused}");
    assert!(detector.detect(&[], 0, 0).is_err());
}

#[test]
fn other_tensors_are_refused_by_name() {
    let refused = |change: fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors = tensors();
        change(&mut tensors);
        load(tensors).unwrap_err().to_string()
    };
    assert!(refused(|t| drop(t.remove("onet.dense6_3.bias"))).contains("onet.dense6_3.bias"));
    assert!(
        refused(|t| drop(t.insert("rnet.prelu1.weight".into(), fill("x", &[27], 1.0)))).contains("rnet.prelu1.weight")
    );
    assert!(refused(|t| drop(t.insert("lnet.conv1.bias".into(), fill("x", &[3], 1.0)))).contains("lnet.conv1.bias"));
}
