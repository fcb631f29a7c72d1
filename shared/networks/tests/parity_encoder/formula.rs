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
    match shape {
        [] => Tensor::from(1234i64),
        _ if ends(&["running_var"]) => fill(name, shape, 0.6) + 1.0,
        _ if ends(&["layer.2.weight", "relu.weight"]) => fill(name, shape, 0.2) + 0.25,
        _ if ends(&["res_layer.4.weight", "bn2.weight"]) => fill(name, shape, 0.2) + 0.4,
        [_] if ends(&[".weight"]) => fill(name, shape, 0.4) + 1.0,
        [_] => fill(name, shape, 0.3),
        _ if name == "latent_avg" => fill(name, shape, 0.3),
        _ if ends(&["linear.weight"]) => fill(name, shape, 0.3),
        [_, rest @ ..] => fill(name, shape, (6.0 / rest.iter().product::<i64>() as f64).sqrt()),
    }
}

/// The generator's, as in `parity_stylegan`.
fn drawn(name: &str, shape: &[i64]) -> Tensor {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if name.starts_with("style.") {
        fill(name, shape, if ends(&["weight"]) { 170.0 } else { 30.0 })
    } else if ends(&["modulation.bias"]) {
        fill(name, shape, 0.4) + 1.0
    } else if ends(&["modulation.weight"]) {
        fill(name, shape, 0.8)
    } else if ends(&[".bias", "_avg", "noise.weight"]) {
        fill(name, shape, 0.5)
    } else {
        fill(name, shape, 3f64.sqrt())
    }
}

/// Names and shapes of the reference's own state dict and mean latent, with the formula's values in `kind`; batch norm's
/// counters stay the integers they are in a PyTorch file.
pub fn tensors(file: &str, kind: Kind) -> Vec<(String, Tensor)> {
    let json = std::fs::read(data("tensors.json")).unwrap();
    let mut files: BTreeMap<String, BTreeMap<String, Vec<i64>>> = serde_json::from_slice(&json).unwrap();
    let value = if file == "generator" { drawn } else { parameter };
    let convert = |tensor: Tensor| if tensor.kind() == Kind::Double { tensor.to_kind(kind) } else { tensor };
    let shapes = files.remove(file).unwrap();
    shapes.into_iter().map(|(name, shape)| (name.clone(), convert(value(&name, &shape)))).collect()
}

/// Tensors as a network takes them.
pub fn weights(tensors: Vec<(String, Tensor)>, kind: Kind) -> Result<Weights, LoadError> {
    Weights::from_tensors("the formula", tensors, Device::Cpu, kind)
}
