//! Scores of edits by networks that were not optimised against, and the verdict.
//!
//! Both images are taken as their files show them, so anyone can check the scores from the files alone.

use domain::accept::{Acceptance, RejectReason, metric};
use domain::record::Verdict;
use editing::score::{self, Goal, Reading};
use editing::{EditError, Engine};
use std::collections::BTreeMap;
use tch::Tensor;

/// What outputs are held to.
#[derive(Clone, Copy, Debug)]
pub struct Rubric<'a> {
    /// How the pack's judge reads the target, if it can.
    pub goal: Option<&'a Goal>,
    /// The rules of acceptance.
    pub accept: &'a Acceptance,
    /// The target sentences.
    pub target: &'a [String],
}

/// What is known about one edited image.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Scores {
    /// Finite numbers by the names of [`metric`], and `second_clip`, the cosine with the target text by the second CLIP.
    pub metrics: BTreeMap<String, f64>,
    /// The judge's reading: head to class, before and after.
    pub judged: BTreeMap<String, [String; 2]>,
    /// Whether every rule is met, where any applies.
    pub verdict: Option<Verdict>,
    /// The rules that are missed.
    pub rejected_for: Vec<RejectReason>,
    /// Scores that are left out because they are no numbers.
    pub warnings: Vec<String>,
}

/// Scores edited images `after` against their reconstructions `before`, both `[B, 3, R, R]` on the levels of a byte. `regions`
/// are the soft masks `[B or 1, 1, R, R]` inside which the edit was made; what counts as outside is where they are below a half.
///
/// # Errors
/// When the shapes are wrong or memory runs out.
pub fn score(
    engine: &Engine,
    rubric: &Rubric<'_>,
    before: &Tensor,
    after: &Tensor,
    regions: Option<&Tensor>,
) -> Result<Vec<Scores>, EditError> {
    let mut all: Vec<_> = score::mean_change(before, after)?
        .into_iter()
        .map(|change| Scores {
            metrics: BTreeMap::from([(metric::MEAN_CHANGE.to_owned(), change)]),
            ..Scores::default()
        })
        .collect();
    let mut put = |name: &str, values: Vec<Option<f64>>| {
        for (scores, value) in all.iter_mut().zip(values) {
            scores.metrics.extend(value.map(|value| (name.to_owned(), value)));
        }
    };
    if let Some(regions) = regions {
        let inside = regions.f_ge(0.5)?.f_squeeze_dim(1)?.f_expand([before.size()[0], -1, -1], false)?;
        // Where the region is the whole image nothing lies outside it, and nothing changed there.
        let outside =
            score::change_by_region(before, after, &inside)?.into_iter().map(|[outside, _]| outside.or(Some(0.0)));
        put(metric::OUTSIDE_CHANGE, outside.collect());
    }
    let second = [engine.second_similarity(before, rubric.target)?, engine.second_similarity(after, rubric.target)?];
    if let [Some(before), Some(after)] = second {
        let (before, after) = (to_host(&before)?, to_host(&after)?);
        put("second_clip", after.iter().copied().map(Some).collect());
        put(metric::SECOND_CLIP_GAIN, after.iter().zip(before).map(|(after, before)| Some(after - before)).collect());
    }
    if let Some(similarity) = score::identity(engine, before, after)? {
        put(metric::IDENTITY, similarity.into_iter().map(Some).collect());
    }
    if let Some((before, after)) = score::read(engine, before)?.zip(score::read(engine, after)?) {
        for (scores, (before, after)) in all.iter_mut().zip(before.iter().zip(&after)) {
            scores.read(rubric.goal, before, after);
        }
    }
    all.iter_mut().for_each(|scores| scores.decide(rubric));
    Ok(all)
}

impl Scores {
    fn read(&mut self, goal: Option<&Goal>, before: &Reading, after: &Reading) {
        let pairs = before.classes.iter().zip(&after.classes);
        self.judged = pairs.map(|((head, was), (_, is))| (head.clone(), [was.clone(), is.clone()])).collect();
        let Some(goal) = goal else { return };
        let outcome = goal.outcome(before, after);
        self.metrics.insert(metric::TARGET_REACHED.to_owned(), f64::from(u8::from(outcome.success)));
        self.metrics.insert(metric::PRESERVATION.to_owned(), outcome.preservation);
        let probability = after.probability(&goal.head, &goal.class);
        self.metrics.extend(probability.map(|p| (metric::TARGET_PROBABILITY.to_owned(), p)));
    }

    /// Leaves out what a record cannot hold, and says so: a rule on a score that is missing is not met.
    fn keep_finite(&mut self) {
        let Self { metrics, warnings, .. } = self;
        metrics.retain(|name, value| {
            let finite = value.is_finite();
            if !finite {
                warnings.push(format!("the score '{name}' is {value} and is left out"));
            }
            finite
        });
    }

    fn decide(&mut self, rubric: &Rubric<'_>) {
        self.keep_finite();
        if let Some(reasons) = rubric.accept.verdict(&self.metrics, rubric.goal.is_some()) {
            self.verdict = Some(if reasons.is_empty() { Verdict::Accept } else { Verdict::Reject });
            self.rejected_for = reasons;
        }
    }
}

fn to_host(values: &Tensor) -> Result<Vec<f64>, EditError> {
    Ok(Vec::try_from(values.f_to_device(tch::Device::Cpu)?.f_to_kind(tch::Kind::Double)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_that_is_no_number_is_left_out_with_a_warning_and_meets_no_rule() {
        let accept = Acceptance { min_identity: Some(0.1), max_change: Some(9.0), ..Acceptance::default() };
        let rubric = Rubric { goal: None, accept: &accept, target: &[] };
        let metrics = [(metric::IDENTITY, f64::NAN), (metric::MEAN_CHANGE, f64::NEG_INFINITY), ("second_clip", 0.5)];
        let metrics = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        let mut scores = Scores { metrics, ..Scores::default() };
        scores.decide(&rubric);
        assert_eq!(scores.metrics, BTreeMap::from([("second_clip".to_owned(), 0.5)]));
        let warnings =
            ["the score 'identity' is NaN and is left out", "the score 'mean_change' is -inf and is left out"];
        assert_eq!(scores.warnings, warnings);
        assert_eq!(scores.verdict, Some(Verdict::Reject));
        assert_eq!(scores.rejected_for, [RejectReason::IdentityLost, RejectReason::ChangedTooMuch]);
    }
}
