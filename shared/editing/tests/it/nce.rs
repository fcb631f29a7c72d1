//! The contrastive loss against its definition, values and gradients (`nce/make_golden.py`).

use crate::{difference, golden, take};
use domain::Digest;
use domain::edit::{NceLoss, Query};
use domain::record::TextFacts;
use editing::EditText;
use editing::nce::{Anchors, loss};
use tch::Tensor;

/// The reference is in f64. Ours is in f32 with cosines multiplied by 1 / tau = 10, and sums of few terms.
const TOLERANCE: f64 = 1e-5;

#[test]
fn both_forms_of_the_query_match_the_definition() {
    let mut golden = golden("nce/golden.safetensors");
    let mut read = |name: &str| take(&mut golden, name);
    let facts = TextFacts { target: "t".into(), neutral: "n".into(), templates: 5, expanded: Digest::of(b"") };
    let text = EditText::from_features(&read("target_texts"), &read("neutral_texts"), facts).unwrap();
    let anchors = Anchors::new(&text, &read("source")).unwrap();
    let seen = read("views");
    for (name, query) in [("normalised", Query::Normalised {}), ("floored", Query::Floored { floor: 0.9 })] {
        let settings = NceLoss { query, temperature: 0.1, ..NceLoss::default() };
        let views = seen.detach().set_requires_grad(true);
        let losses = loss(&anchors, &views, &settings).unwrap();
        assert!(difference(&losses, &read(&format!("{name}.loss"))) < TOLERANCE, "{name}");
        let gradient = Tensor::run_backward(&[losses.sum(None)], &[&views], false, false);
        assert!(difference(&gradient[0], &read(&format!("{name}.gradient"))) < TOLERANCE, "{name}");

        // An image's loss is its own: the last item alone has the loss it has in the batch.
        let last = Tensor::from_slice(&[2_i64]);
        let alone = loss(&anchors.rows(&last).unwrap(), &seen.index_select(0, &last), &settings).unwrap();
        assert!(difference(&alone, &losses.narrow(0, 2, 1)) < 1e-6, "{name}");
    }
    golden.finish().expect("everything was compared");
}

/// An unchanged image has a query of length zero; its gradient must be finite.
#[test]
fn no_change_at_all_has_a_finite_gradient() {
    let mut golden = golden("nce/golden.safetensors");
    let mut read = |name: &str| take(&mut golden, name);
    let facts = TextFacts { target: "t".into(), neutral: "n".into(), templates: 5, expanded: Digest::of(b"") };
    let text = EditText::from_features(&read("target_texts"), &read("neutral_texts"), facts).unwrap();
    let source = read("source");
    let anchors = Anchors::new(&text, &source).unwrap();
    for query in [Query::Normalised {}, Query::Floored { floor: 0.9 }] {
        let views = source.unsqueeze(1).set_requires_grad(true);
        let losses = loss(&anchors, &views, &NceLoss { query, ..NceLoss::default() }).unwrap();
        let gradient = Tensor::run_backward(&[losses.sum(None)], &[&views], false, false);
        assert_eq!(gradient[0].isfinite().all().int64_value(&[]), 1, "{query:?}");
    }
}
