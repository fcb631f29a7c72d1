//! The three objectives against their definitions, values and gradients (`objective/make_golden.py`).

use crate::{difference, golden, take};
use domain::Digest;
use domain::edit::{DirectionalLoss, GlobalLoss, NceLoss, Negatives, Objective, Query};
use domain::record::TextFacts;
use editing::EditText;
use editing::objective::Aim;
use tch::Tensor;

/// The reference is in f64. Ours is in f32 with cosines multiplied by 1 / tau = 10, and sums of few terms.
const TOLERANCE: f64 = 1e-5;

const NORMALISED: NceLoss = NceLoss { query: Query::Normalised {}, temperature: 0.1 };
const FLOORED: NceLoss = NceLoss { query: Query::Floored { floor: 0.9 }, temperature: 0.1 };

fn objectives() -> [(&'static str, Objective<'static>, Negatives); 5] {
    [
        ("normalised", Objective::Nce(&NORMALISED), Negatives::PerImage),
        ("floored", Objective::Nce(&FLOORED), Negatives::PerImage),
        ("first-image", Objective::Nce(&NORMALISED), Negatives::FirstImage),
        ("global", Objective::Global(&GlobalLoss {}), Negatives::PerImage),
        ("directional", Objective::Directional(&DirectionalLoss {}), Negatives::PerImage),
    ]
}

fn text_of(with: &Tensor, without: &Tensor) -> EditText {
    let facts =
        TextFacts { target: "t".into(), neutral: "n".into(), templates: 5, expanded: Digest::of(b""), tokens: None };
    EditText::from_features(with, without, facts).unwrap()
}

#[test]
fn every_objective_matches_its_definition() {
    let mut golden = golden("objective/golden.safetensors");
    let mut read = |name: &str| take(&mut golden, name);
    let text = text_of(&read("target_texts"), &read("neutral_texts"));
    let (source, seen) = (read("source"), read("views"));
    let all = Tensor::from_slice(&[0_i64, 1, 2]);
    for (name, objective, negatives) in objectives() {
        let aim = Aim::new(objective, &text, &source, negatives).unwrap();
        let views = seen.detach().set_requires_grad(true);
        let losses = aim.loss(&all, &views).unwrap();
        assert!(difference(&losses, &read(&format!("{name}.loss"))) < TOLERANCE, "{name}");
        let gradient = Tensor::run_backward(&[losses.sum(None)], &[&views], false, false);
        assert!(difference(&gradient[0], &read(&format!("{name}.gradient"))) < TOLERANCE, "{name}");

        // An image's loss is its own, the last item alone has the loss it has in the batch; but for the published negatives.
        let last = Tensor::from_slice(&[2_i64]);
        let alone = aim.loss(&last, &seen.index_select(0, &last)).unwrap();
        let near = difference(&alone, &losses.narrow(0, 2, 1)) < 1e-6;
        assert_eq!(near, negatives == Negatives::PerImage, "{name}");
    }
    golden.finish().expect("everything was compared");
}

/// An unchanged image has a query of length zero; its gradient must be finite.
#[test]
fn no_change_at_all_has_a_finite_gradient() {
    let mut golden = golden("objective/golden.safetensors");
    let mut read = |name: &str| take(&mut golden, name);
    let text = text_of(&read("target_texts"), &read("neutral_texts"));
    let source = read("source");
    for (name, objective, negatives) in objectives() {
        let aim = Aim::new(objective, &text, &source, negatives).unwrap();
        let views = source.unsqueeze(1).set_requires_grad(true);
        let losses = aim.loss(&Tensor::from_slice(&[0_i64, 1, 2]), &views).unwrap();
        let gradient = Tensor::run_backward(&[losses.sum(None)], &[&views], false, false);
        assert_eq!(gradient[0].isfinite().all().int64_value(&[]), 1, "{name}");
    }
}
