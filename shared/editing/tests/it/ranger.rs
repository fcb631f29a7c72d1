//! Ranger against fifteen steps of plain PyTorch arithmetic (`ranger/make_golden.py`).

use crate::{difference, golden, take};
use domain::edit::Optimiser as Kind;
use editing::optimiser::Optimiser;
use tch::Tensor;

const STEPS: i64 = 15;
const RATE: f64 = 0.5;
const NAMES: [&str; 3] = ["vector", "matrix", "cube"];

#[test]
fn fifteen_steps_are_the_references_also_over_a_checkpoint() {
    let mut golden = golden("ranger/golden.safetensors");
    let mut read = |part: &str| NAMES.map(|name| take(&mut golden, &format!("{name}.{part}")));
    let [mut values, gradients, expected] = [read("start"), read("gradients"), read("values")].map(Vec::from);
    let mut ranger = Optimiser::new(Kind::Ranger, &values).unwrap();
    for step in 0..STEPS {
        let gradients: Vec<_> = gradients.iter().map(|g| g.get(step)).collect();
        values = ranger.step(&values, &gradients, RATE).unwrap();
        for ((name, ours), reference) in NAMES.iter().zip(&values).zip(&expected) {
            let error = difference(ours, &reference.get(step));
            assert!(error < 1e-6, "{name}, step {}: {error:e}", step + 1);
        }
        // Across the first adapted step, the look ahead and the middle of the next stretch.
        if [4, 5, 8].contains(&step) {
            let state = ranger.state();
            let copies = |list: &[Tensor]| list.iter().map(Tensor::copy).collect::<Vec<_>>();
            let find = |wanted: &str| {
                Ok(copies(state.iter().find(|(name, _)| *name == wanted).expect("a list of the state").1))
            };
            ranger = Optimiser::restore(Kind::Ranger, ranger.steps(), find).unwrap();
        }
    }
}
