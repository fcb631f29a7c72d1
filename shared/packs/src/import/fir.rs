//! The low-pass filter that StyleGAN2 resamples with. Checkpoints carry it; the networks have it built in.

use super::error::ImportError;
use super::taking::Taking;

/// Weights of the filter along one axis.
const TAPS: [f32; 4] = [1.0, 3.0, 3.0, 1.0];

/// Checks every filter of a checkpoint: `gain` tells for a name whether it is one, and what its sum must be.
pub(super) fn check_all(taking: &Taking, gain: impl Fn(&str) -> Option<f32>) -> Result<(), ImportError> {
    let filters: Vec<(String, f32)> = taking.names().filter_map(|name| Some((name.to_owned(), gain(name)?))).collect();
    for (name, gain) in filters {
        let Some(tensor) = taking.look(&name) else { continue };
        let sum: f32 = TAPS.iter().sum();
        let expected = TAPS.iter().flat_map(|row| TAPS.iter().map(move |column| row * column / (sum * sum) * gain));
        let found = if tensor.shape() == [4, 4] { tensor.read_f32()? } else { Vec::new() };
        let close = |(found, expected): (&f32, f32)| (found - expected).abs() < 1e-3 * gain;
        if found.len() != TAPS.len().pow(2) || !found.iter().zip(expected).all(close) {
            return Err(taking.odd(
                &name,
                "is another low-pass filter than [1, 3, 3, 1], which is the one that is computed here; take a network trained with \
                 the default",
            ));
        }
    }
    Ok(())
}
