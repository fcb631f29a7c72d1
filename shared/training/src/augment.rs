//! Changes of pictures that must not change what a classifier says.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;

/// Normal values from libtorch's CPU generator, on `device`: a seed means the same everywhere.
pub fn normal(shape: &[i64], device: Device) -> Result<Tensor, TrainingError> {
    Ok(Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_to_device(device)?)
}

/// Even values in [0, 1), as [`normal`].
pub fn uniform(shape: &[i64], device: Device) -> Result<Tensor, TrainingError> {
    Ok(Tensor::f_rand(shape, (Kind::Float, Device::Cpu))?.f_to_device(device)?)
}

/// Moves the batch by up to `reach` px each way; the border is repeated.
pub fn shifted(x: &Tensor, reach: i64, rng: &mut ChaCha8Rng) -> Result<Tensor, TrainingError> {
    let side = x.size()[3];
    let padded = x.f_replication_pad2d([reach; 4])?;
    let (row, column) = (rng.random_range(0..=2 * reach), rng.random_range(0..=2 * reach));
    Ok(padded.f_narrow(2, row, side)?.f_narrow(3, column, side)?)
}

/// A random perspective of each picture: deviations of the affine part, of the shift, and of the tilt.
pub fn perspective(x: &Tensor, affine: f64, shift: f64, tilt: f64) -> Result<Tensor, TrainingError> {
    let (b, side, device) = (x.size()[0], x.size()[3], x.device());
    let linear =
        Tensor::f_eye(2, (Kind::Float, device))?.f_add(&normal(&[b, 2, 2], device)?.f_multiply_scalar(affine)?)?;
    let shift = normal(&[b, 2, 1], device)?.f_multiply_scalar(shift)?;
    let tilt = normal(&[b, 1, 2], device)?.f_multiply_scalar(tilt)?;
    let one = Tensor::f_ones([b, 1, 1], (Kind::Float, device))?;
    let rows = [Tensor::f_cat(&[&linear, &shift], 2)?, Tensor::f_cat(&[&tilt, &one], 2)?];
    let matrix = Tensor::f_cat(&rows, 1)?; // [B, 3, 3]
    let edge = (side - 1) as f64 / side as f64; // centres of the outer pixels
    let axis = Tensor::f_linspace(-edge, edge, side, (Kind::Float, device))?;
    let across = axis.f_view([1, side])?.f_expand([side, side], false)?;
    let down = axis.f_view([side, 1])?.f_expand([side, side], false)?;
    let points = Tensor::f_stack(&[&across, &down, &across.f_ones_like()?], -1)?.f_view([1, side * side, 3])?;
    let seen = points.f_matmul(&matrix.f_transpose(1, 2)?)?; // [B, S², 3]
    let depth = seen.f_narrow(2, 2, 1)?.f_clamp_min(0.3)?;
    let grid = seen.f_narrow(2, 0, 2)?.f_div(&depth)?.f_view([b, side, side, 2])?;
    // Bilinear (0), border repeated (1).
    Ok(x.f_grid_sampler_2d(&grid, 0, 1, false)?)
}

/// With these chances: softens the batch by a random share of a 3 × 3 mean, adds noise up to the given deviation.
pub fn softened(
    x: &Tensor,
    blur_chance: f64,
    noise_chance: f64,
    noise: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Tensor, TrainingError> {
    let mut x = x.shallow_clone();
    if rng.random::<f64>() < blur_chance {
        let share = rng.random::<f64>();
        let mean = x.f_replication_pad2d([1; 4])?.f_avg_pool2d([3, 3], [1, 1], [0, 0], false, true, None)?;
        x = x.f_multiply_scalar(1.0 - share)?.f_add(&mean.f_multiply_scalar(share)?)?;
    }
    if rng.random::<f64>() < noise_chance {
        let deviation = rng.random::<f64>() * noise;
        x = x.f_add(&normal(&x.size(), x.device())?.f_multiply_scalar(deviation)?)?;
    }
    Ok(x)
}
