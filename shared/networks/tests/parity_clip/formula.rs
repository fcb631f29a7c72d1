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
        _ if name.ends_with(".running_var") => fill(name, shape, 0.5) + 1.0,
        _ if name.ends_with(".bias") || name.ends_with("in_proj_bias") => fill(name, shape, 0.2),
        [_] if name.ends_with(".weight") => fill(name, shape, 0.3) + 1.0,
        [] => fill(name, shape, 4.0),
        _ if shape.len() == 1 || name.contains("embedding") => fill(name, shape, 1.0),
        [first, rest @ ..] => {
            let projection = ["visual.proj", "text_projection"].contains(&name);
            let fan_in = if projection { *first } else { rest.iter().product() };
            fill(name, shape, 2.0 / (fan_in as f64).sqrt())
        }
    }
}

/// Names and shapes of the reference's own state dict, with the formula's values.
pub fn tensors(case: &str) -> Vec<(String, Tensor)> {
    type Cases = BTreeMap<String, BTreeMap<String, Vec<i64>>>;
    let read = |file| serde_json::from_slice::<Cases>(&std::fs::read(data(file)).unwrap()).unwrap();
    let shapes = ["tensors.json", "tower_tensors.json"].into_iter().find_map(|file| read(file).remove(case)).unwrap();
    shapes.into_iter().map(|(name, shape)| (name.clone(), parameter(&name, &shape))).collect()
}

/// [`tensors`] as a network takes them.
pub fn weights(case: &str, kind: Kind) -> Weights {
    let tensors = tensors(case).into_iter().map(|(name, tensor)| (name, tensor.to_kind(kind)));
    Weights::from_tensors(case, tensors, Device::Cpu, kind).unwrap()
}
