//! The formula that fills tensors on both sides, instead of stored weights (`fill` and `parameter` in make_golden.py).

use tch::Tensor;

/// Uniform in `[-scale, scale)`: FNV-1a of the name as seed, murmur3's finaliser over the element's index.
pub fn fill(name: &str, shape: &[i64], scale: f64) -> Tensor {
    let seed = name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let values: Vec<f64> = (0..shape.iter().product::<i64>() as u32)
        .map(|i| {
            let mut x = i.wrapping_mul(0x9E37_79B1).wrapping_add(seed);
            x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
            x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
            (f64::from(x ^ (x >> 16)) / 2_f64.powi(31) - 1.0) * scale
        })
        .collect();
    Tensor::from_slice(&values).view(shape)
}

/// The value of the tensor of this name, by scales that keep activations of order one.
pub fn parameter(name: &str, shape: &[i64]) -> Tensor {
    let vector = shape.len() == 1;
    let around = |middle: f64, scale: f64| fill(name, shape, scale) + middle;
    match name {
        _ if name.starts_with("mapper.") || name.starts_with("text_mapper.") => {
            fill(name, shape, if vector { 30.0 } else { 173.0 })
        }
        _ if name.ends_with("running_var") => around(1.0, 0.6),
        _ if name.ends_with("noise.weight") => fill(name, shape, 0.3),
        "input.input" => fill(name, shape, 1.0),
        _ if name.starts_with("noises.") || name.contains("embedding") => fill(name, shape, 1.0),
        _ if name.starts_with("style.") => fill(name, shape, if vector { 20.0 } else { 170.0 }),
        _ if name.ends_with("modulation.bias") => around(1.0, 0.2),
        _ if name.ends_with("conv.weight") && shape.len() == 5 => fill(name, shape, 1.7),
        _ if name.ends_with("modulation.weight") => fill(name, shape, 0.9),
        _ if name.ends_with("layer.2.weight") => around(0.25, 0.2),
        "visual.proj" | "text_projection" => fill(name, shape, 2.0 / (shape[0] as f64).sqrt()),
        _ if vector && name.ends_with(".weight") => around(1.0, 0.4),
        _ if vector => fill(name, shape, 0.3),
        _ => fill(name, shape, 2.0 / (shape.iter().skip(1).product::<i64>() as f64).sqrt()),
    }
}
