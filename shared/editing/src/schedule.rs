//! Learning-rate factors: pure functions of the step.

use std::f64::consts::PI;

/// Linear warm-up over `warm_up` steps, then constant, then half a cosine to (nearly) zero over the last 40 %.
///
/// `step` counts from 0; the factor is in `(0, 1]`. Measured on the demo pack for both editing methods.
pub fn warm_up_then_cosine(step: u32, steps: u32, warm_up: u32) -> f64 {
    let rise = (f64::from(step + 1) / f64::from(warm_up.max(1))).min(1.0);
    let done = f64::from(step) / f64::from(steps.max(1));
    let fall = if done < 0.6 { 1.0 } else { 0.5 * (1.0 + (PI * (done - 0.6) / 0.4).cos()) };
    rise * fall
}

/// Half a cosine over all steps on a floor of 5 %: `0.5 (1 + cos(pi step / steps)) + 0.05`, for refining an inversion.
pub fn cosine_to_floor(step: u32, steps: u32) -> f64 {
    0.5 * (1.0 + (PI * f64::from(step) / f64::from(steps.max(1))).cos()) + 0.05
}

/// The projector's rate (stylegan2-ada-pytorch, projector.py): a linear rise over the first 5 % of the steps, half a cosine
/// to zero over the last 25 %. The first step's factor is 0, as published.
pub fn projector_rate(step: u32, steps: u32) -> f64 {
    const RISE: f64 = 0.05;
    const FALL: f64 = 0.25;
    let t = f64::from(step) / f64::from(steps.max(1));
    let left = ((1.0 - t) / FALL).min(1.0);
    (0.5 - 0.5 * (PI * left).cos()) * (t / RISE).min(1.0)
}

/// How much of the projector's latent noise is left: `max(0, 1 - t / 0.75)^2` at the part `t` of the steps.
pub fn projector_noise(step: u32, steps: u32) -> f64 {
    const END: f64 = 0.75;
    (1.0 - f64::from(step) / f64::from(steps.max(1)) / END).max(0.0).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_holds_and_falls() {
        let rate = |step| warm_up_then_cosine(step, 100, 5);
        assert_eq!([rate(0), rate(4), rate(59)], [0.2, 1.0, 1.0]);
        assert!((rate(80) - 0.5).abs() < 1e-12);
        assert!(rate(99) > 0.0 && rate(99) < 0.01);
        assert_eq!(cosine_to_floor(0, 100), 1.05);
        assert!(cosine_to_floor(99, 100) > 0.05);
    }
}
