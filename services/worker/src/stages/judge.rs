//! Scores of edits by networks that were not optimised against, and the verdict.
//!
//! Both images are taken as their files show them, so anyone can check the scores from the files alone.

use domain::record::Verdict;
use editing::score::{self, Goal, Reading};
use editing::{EditError, Engine};
use std::collections::BTreeMap;
use tch::Tensor;

/// What is known about one edited image.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Scores {
    /// Finite numbers by name: `target_reached` (0 or 1) and `preservation` by the judge; `mean_change` in levels of 0 to 255;
    /// `second_clip` and `second_clip_gain`, cosines with the target text by the second CLIP, and their rise.
    pub metrics: BTreeMap<String, f64>,
    /// The judge's reading: head to class, before and after.
    pub judged: BTreeMap<String, [String; 2]>,
    /// Whether the target is reached, where the judge can tell.
    pub verdict: Option<Verdict>,
}

/// Scores edited images `after` against their reconstructions `before`, both `[B, 3, R, R]` on the levels of a byte.
///
/// # Errors
/// When the shapes are wrong or memory runs out.
pub fn score(
    engine: &Engine,
    goal: Option<&Goal>,
    target: &[String],
    before: &Tensor,
    after: &Tensor,
) -> Result<Vec<Scores>, EditError> {
    let change = score::mean_change(before, after)?;
    let readings = score::read(engine, before)?.zip(score::read(engine, after)?);
    let second = match (engine.second_similarity(before, target)?, engine.second_similarity(after, target)?) {
        (Some(before), Some(after)) => Some((to_host(&before)?, to_host(&after)?)),
        _ => None,
    };
    let each = change.into_iter().enumerate().map(|(i, change)| {
        let mut scores = Scores::default();
        scores.metrics.insert("mean_change".to_owned(), change);
        if let Some((before, after)) = &second {
            scores.metrics.insert("second_clip".to_owned(), after[i]);
            scores.metrics.insert("second_clip_gain".to_owned(), after[i] - before[i]);
        }
        if let Some((before, after)) = &readings {
            scores.read(goal, &before[i], &after[i]);
        }
        scores.metrics.retain(|_, value| value.is_finite());
        scores
    });
    Ok(each.collect())
}

impl Scores {
    fn read(&mut self, goal: Option<&Goal>, before: &Reading, after: &Reading) {
        let pairs =
            before.0.iter().zip(&after.0).map(|((head, was), (_, is))| (head.clone(), [was.clone(), is.clone()]));
        self.judged = pairs.collect();
        if let Some(goal) = goal {
            let outcome = goal.outcome(before, after);
            self.metrics.insert("target_reached".to_owned(), f64::from(u8::from(outcome.success)));
            self.metrics.insert("preservation".to_owned(), outcome.preservation);
            self.verdict = Some(if outcome.success { Verdict::Accept } else { Verdict::Reject });
        }
    }
}

fn to_host(values: &Tensor) -> Result<Vec<f64>, EditError> {
    Ok(Vec::try_from(values.f_to_device(tch::Device::Cpu)?.f_to_kind(tch::Kind::Double)?)?)
}
