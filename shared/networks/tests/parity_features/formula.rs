//! The formula that fills tensors on both sides, instead of stored weights (`fill` and `parameter` in make_goldens.py).

use std::collections::BTreeMap;

use networks::Weights;
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
    match shape {
        [] => Tensor::from(1234i64),
        _ if name.ends_with("running_var") => fill(name, shape, 0.6) + 1.0,
        _ if name.starts_with("lin") => fill(name, shape, 0.5) + 0.5,
        _ if name.ends_with("layer.2.weight") => fill(name, shape, 0.2) + 0.25,
        _ if name.ends_with("res_layer.4.weight") => fill(name, shape, 0.2) + 0.4,
        [_] if name.ends_with(".weight") => fill(name, shape, 0.4) + 1.0,
        [_] => fill(name, shape, 0.3),
        [_, rest @ ..] => fill(name, shape, (6.0 / rest.iter().product::<i64>() as f64).sqrt()),
    }
}

/// Names and shapes of the reference's own state dict, with the formula's values.
pub fn tensors(case: &str) -> Vec<(String, Tensor)> {
    let json = std::fs::read(data("tensors.json")).unwrap();
    let mut cases: BTreeMap<String, BTreeMap<String, Vec<i64>>> = serde_json::from_slice(&json).unwrap();
    let shapes = cases.remove(case).unwrap();
    shapes.into_iter().map(|(name, shape)| (name.clone(), parameter(&name, &shape))).collect()
}

/// [`tensors`] with the floats in `kind`; batch norm's counters stay the integers they are in a PyTorch file.
pub fn tensors_as(case: &str, kind: Kind) -> Vec<(String, Tensor)> {
    let convert = |tensor: Tensor| if tensor.kind() == Kind::Double { tensor.to_kind(kind) } else { tensor };
    tensors(case).into_iter().map(|(name, tensor)| (name, convert(tensor))).collect()
}

/// [`tensors_as`] as a network takes them.
pub fn weights(case: &str, kind: Kind) -> Weights {
    Weights::from_tensors(case, tensors_as(case, kind), Device::Cpu, kind).unwrap()
}
