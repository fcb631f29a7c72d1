//! The projector's formulas against an independent reference, `make_golden.py` in this folder.

use crate::{difference, golden, take};
use editing::invert::noise::{autocorrelation, normalise};
use editing::schedule::{projector_noise, projector_rate};
use tch::Tensor;

#[test]
fn schedules_are_as_published() {
    let mut golden = golden("inversion/golden.safetensors");
    for (name, factor) in [("rate", projector_rate as fn(u32, u32) -> f64), ("latent_noise", projector_noise)] {
        let wanted: Vec<f32> = Vec::try_from(&take(&mut golden, name)).unwrap();
        let steps = wanted.len() as u32;
        for (step, wanted) in (0..steps).zip(wanted) {
            assert!((factor(step, steps) - f64::from(wanted)).abs() < 1e-6, "{name} at {step}");
        }
    }
}

#[test]
fn noise_is_regularised_and_normalised_per_item() {
    let mut golden = golden("inversion/golden.safetensors");
    for side in [4, 8, 16, 32] {
        let maps = take(&mut golden, &format!("maps_{side}")).set_requires_grad(true);
        let values = autocorrelation(&maps).unwrap();
        let gradient = Tensor::run_backward(&[values.sum(None)], &[&maps], false, false).remove(0);
        let normalised = normalise(&maps.detach()).unwrap();
        for (what, ours) in [("values", values.detach()), ("gradient", gradient), ("normalised", normalised)] {
            let wanted = take(&mut golden, &format!("{what}_{side}"));
            // Item by item: the third is ten times the first.
            for item in 0..3 {
                let error = difference(&ours.get(item), &wanted.get(item));
                assert!(error < 1e-4, "{what} of item {item} at {side} px: {error:.1e}");
            }
        }
    }
}
