//! The numbers that `layouts.py` puts into a tensor.

use half::f16;
use packs::checkpoint::{Dtype, Tensor};

/// Element (i, j, ...) is number `start + 1 i + 3 j + ...` of one sequence.
const STRIDES: [usize; 5] = [1, 3, 5, 11, 17];

/// All of a tensor's numbers by its name in the checkpoint, in the order of rows.
pub fn numbers(name: &str, shape: &[usize]) -> Vec<f32> {
    let start = crc32fast::hash(name.as_bytes()) as usize % 509;
    let lift = if name.ends_with("running_var") { 1.0 } else { 0.0 };
    let scale = if name.starts_with("style.") && name.ends_with(".weight") { 100.0 } else { 1.0 };
    let number = |mut element: usize| {
        let mut place = start;
        for (size, stride) in shape.iter().zip(STRIDES).rev() {
            place += element % size * stride;
            element /= size;
        }
        ((place * 40_503 % 65_536) as f32 / 65_536.0 - 0.5 + lift) * scale
    };
    (0..shape.iter().product()).map(number).collect()
}

/// The tensor has the numbers of `name` in `shape`, as its type holds them.
pub fn assert_numbers(tensor: &Tensor, name: &str, shape: &[usize]) {
    assert_eq!(tensor.elements(), shape.iter().product::<usize>(), "{name}");
    assert_same(tensor, &numbers(name, shape), name);
}

/// The tensor has these numbers, as its type holds them.
pub fn assert_same(tensor: &Tensor, expected: &[f32], name: &str) {
    let found = tensor.read_f32().unwrap();
    let as_held = |number: f32| if tensor.dtype() == Dtype::F16 { f16::from_f32(number).to_f32() } else { number };
    let differs = found.iter().zip(expected).position(|(found, expected)| *found != as_held(*expected));
    assert_eq!((found.len(), differs), (expected.len(), None), "{name} of {:?}", tensor.shape());
}

/// The row that `make_fixtures.py` has for a mean latent.
pub fn mean_latent() -> Vec<f32> {
    (20..28).map(|place: u32| (place * 40_503 % 65_536) as f32 / 65_536.0 - 0.5).collect()
}
