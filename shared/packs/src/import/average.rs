//! The mean of w, where a checkpoint does not have it: the mapping network over many random z.

use super::error::ImportError;
use super::noise;
use super::taking::Taking;
use ndarray::{Array1, Array2, Axis};

/// Latents it is estimated from. rosinality's converter takes 10,000; the standard error falls with the root, and is a hundredth of
/// the deviation of w here.
pub(super) const SAMPLES: usize = 10_000;

/// Latents computed at once.
const BATCH: usize = 500;
/// The stream of random numbers, beyond those of the layers' noise.
const STREAM: usize = 1 << 20;
/// The mapping network's learning rate multiplier, by which its weights are stored too large (Karras et al. 2019, appendix B).
const LR_MULTIPLIER: f32 = 0.01;

/// Estimates the mean of w through the mapping network `{prefix}{first}`, `{prefix}{first + 1}`, ...: normalised z, then linear
/// layers with equalised learning rate and leaky ReLU of slope 0.2 and gain sqrt(2).
pub(super) fn estimate(taking: &Taking, prefix: &str, first: usize) -> Result<Vec<f32>, ImportError> {
    let mut layers: Vec<(Array2<f32>, Array1<f32>)> = Vec::new();
    for i in first.. {
        let name = format!("{prefix}{i}.weight");
        let Some(weight) = taking.look(&name) else { break };
        let bias = format!("{prefix}{i}.bias");
        let bias = taking.look(&bias).ok_or_else(|| taking.missing(&bias))?;
        let misfit = || taking.damaged(&name, "does not fit the layer before it or its bias");
        let &[outputs, inputs] = weight.shape() else { return Err(misfit()) };
        let scale = LR_MULTIPLIER / (inputs as f32).sqrt();
        let bias = Array1::from_vec(bias.read_f32()?) * LR_MULTIPLIER;
        if bias.len() != outputs || layers.last().is_some_and(|(before, _)| before.nrows() != inputs) || inputs == 0 {
            return Err(misfit());
        }
        let weight = Array2::from_shape_vec((outputs, inputs), weight.read_f32()?).map_err(|_| misfit())?;
        layers.push((weight * scale, bias));
    }
    let (Some((bottom, _)), Some((top, _))) = (layers.first(), layers.last()) else {
        return Err(taking.missing(&format!("{prefix}{first}.weight")));
    };
    let mut sum = Array1::<f64>::zeros(top.nrows());
    let z = noise::fixed(STREAM, SAMPLES * bottom.ncols());
    for batch in z.chunks(BATCH * bottom.ncols()) {
        let normalised: Vec<f32> = batch.chunks(bottom.ncols()).flat_map(normalised).collect();
        let shape = (normalised.len() / bottom.ncols(), bottom.ncols());
        // Safe because the shape was just computed from the length.
        let Ok(mut x) = Array2::from_shape_vec(shape, normalised) else { break };
        for (weight, bias) in &layers {
            x = linear(&x, weight, bias);
        }
        sum += &x.mapv(f64::from).sum_axis(Axis(0));
    }
    Ok(sum.iter().map(|sum| (sum / SAMPLES as f64) as f32).collect())
}

/// Divided by the root of its mean square, with the epsilon of the reference code.
fn normalised(z: &[f32]) -> Vec<f32> {
    let mean_square = z.iter().map(|number| number * number).sum::<f32>() / z.len() as f32;
    let factor = (mean_square + 1e-8).sqrt().recip();
    z.iter().map(|number| number * factor).collect()
}

/// `leaky_relu(x W^T + b) sqrt(2)` of `x` `[B, inputs]` and `weight` `[outputs, inputs]`.
fn linear(x: &Array2<f32>, weight: &Array2<f32>, bias: &Array1<f32>) -> Array2<f32> {
    let gain = std::f32::consts::SQRT_2;
    (x.dot(&weight.t()) + bias).mapv_into(|number| number * if number < 0.0 { 0.2 * gain } else { gain })
}
