//! The formula that fills tensors on both sides, instead of stored weights (`fill` and `parameter` in make_goldens.py).

use std::collections::BTreeMap;

use networks::{LoadError, Weights};
use tch::{Device, Kind, Tensor};

use crate::data;

/// Uniform in `[-scale, scale)`, double precision.
pub fn fill(name: &str, shape: &[i64], scale: f64) -> Tensor {
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
    Tensor::from_slice(&values).view(shape)
}

fn parameter(name: &str, shape: &[i64]) -> Tensor {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if ends(&["_filter"]) {
        (fill(name, shape, 0.8) + 1.0) / shape.iter().product::<i64>() as f64
    } else if ends(&["transform"]) {
        fill(name, shape, 0.2) + Tensor::eye(3, (Kind::Double, Device::Cpu))
    } else if name.starts_with("style.") || name.starts_with("mapping.fc") {
        fill(name, shape, if ends(&["weight"]) { 170.0 } else { 30.0 })
    } else if ends(&["affine.bias", "modulation.bias", "magnitude_ema"]) {
        fill(name, shape, 0.4) + 1.0
    } else if ends(&["affine.weight", "modulation.weight", "phases"]) {
        fill(name, shape, 0.8)
    } else if ends(&[".bias", "_avg", "noise.weight"]) {
        fill(name, shape, 0.5)
    } else {
        fill(name, shape, 3f64.sqrt())
    }
}

/// The tensors of a case with the formula's values.
pub fn tensors(case: &str, kind: Kind) -> Vec<(String, Tensor)> {
    let json = std::fs::read(data("tensors.json")).unwrap();
    let mut cases: BTreeMap<String, BTreeMap<String, Vec<i64>>> = serde_json::from_slice(&json).unwrap();
    let shapes = cases.remove(case).unwrap();
    shapes.into_iter().map(|(name, shape)| (name.clone(), parameter(&name, &shape).to_kind(kind))).collect()
}

/// Tensors as a network takes them.
pub fn weights(tensors: Vec<(String, Tensor)>, kind: Kind) -> Result<Weights, LoadError> {
    Weights::from_tensors("the formula", tensors, Device::Cpu, kind)
}
