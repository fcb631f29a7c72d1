//! Checked counterfactuals: which outputs count, by networks that no edit was optimised against.

use crate::edit::{SpecError, within};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// The names under which an output's scores stand in its record, and which the rules read.
pub mod metric {
    /// 1 if the judge reads the target, else 0.
    pub const TARGET_REACHED: &str = "target_reached";
    /// The judge's probability of the target class, 0 to 1.
    pub const TARGET_PROBABILITY: &str = "target_probability";
    /// Share of the judge's other heads that read as before, 0 to 1.
    pub const PRESERVATION: &str = "preservation";
    /// Cosine of the identity features of the output and its reconstruction, -1 to 1.
    pub const IDENTITY: &str = "identity";
    /// Mean absolute change over the image, levels of 0 to 255.
    pub const MEAN_CHANGE: &str = "mean_change";
    /// The same outside the edit's region.
    pub const OUTSIDE_CHANGE: &str = "outside_change";
    /// Rise of the cosine with the target text by the second CLIP.
    pub const SECOND_CLIP_GAIN: &str = "second_clip_gain";
}

/// The rules an output must meet to be accepted. A rule that is absent does not count; an output that a rule cannot be applied
/// to, because its score is missing, is rejected.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acceptance {
    /// Whether the judge must read the target; it counts only for texts that the pack's judge can tell.
    pub target: bool,
    /// Least probability of the target class by the judge, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub min_probability: Option<f64>,
    /// Least share of the other attributes that read as before, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub min_preservation: Option<f64>,
    /// Least identity cosine, -1 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1, maximum = 1)]
    pub min_identity: Option<f64>,
    /// Most mean change over the image, levels of 0 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 255)]
    pub max_change: Option<f64>,
    /// Most mean change outside the edit's region, levels of 0 to 255.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 255)]
    pub max_outside_change: Option<f64>,
    /// Least rise of the second CLIP's cosine with the target text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -2, maximum = 2)]
    pub min_second_clip_gain: Option<f64>,
}

impl Default for Acceptance {
    fn default() -> Self {
        Self {
            target: true,
            min_probability: None,
            min_preservation: None,
            min_identity: None,
            max_change: None,
            max_outside_change: None,
            min_second_clip_gain: None,
        }
    }
}

/// Why an output was rejected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RejectReason {
    /// The judge reads another class than the target.
    TargetMissed,
    /// The judge is not sure enough of the target.
    TargetUnsure,
    /// Other attributes changed.
    NotPreserved,
    /// The person changed.
    IdentityLost,
    /// The image changed too much.
    ChangedTooMuch,
    /// Too much changed outside the region.
    OutsideChanged,
    /// The second CLIP does not see the text.
    SecondClipUnmoved,
}

impl RejectReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::TargetMissed,
        Self::TargetUnsure,
        Self::NotPreserved,
        Self::IdentityLost,
        Self::ChangedTooMuch,
        Self::OutsideChanged,
        Self::SecondClipUnmoved,
    ];

    /// The stable name in records, columns and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TargetMissed => "target-missed",
            Self::TargetUnsure => "target-unsure",
            Self::NotPreserved => "not-preserved",
            Self::IdentityLost => "identity-lost",
            Self::ChangedTooMuch => "changed-too-much",
            Self::OutsideChanged => "outside-changed",
            Self::SecondClipUnmoved => "second-clip-unmoved",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for RejectReason {
    type Err = UnknownRejectReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|r| r.name() == text).ok_or_else(|| UnknownRejectReason(text.to_owned()))
    }
}

/// A reason for a rejection that this version does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no reason for a rejection; there are {names}", names = RejectReason::ALL.map(RejectReason::name).join(", "))]
pub struct UnknownRejectReason(pub String);

/// One rule: the metric it reads, its bound, and the reason it gives.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rule {
    /// The metric, a name of [`metric`].
    pub metric: &'static str,
    /// The bound.
    pub bound: Bound,
    /// Why an output that misses it is rejected.
    pub reason: RejectReason,
}

/// A bound on a metric.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bound {
    /// The metric must be at least this.
    AtLeast(f64),
    /// The metric must be at most this.
    AtMost(f64),
}

impl Acceptance {
    /// True if nothing but the default is asked.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The rules in force. `judged` says whether the pack's judge can tell this edit's target.
    pub fn rules(&self, judged: bool) -> Vec<Rule> {
        let rule = |metric, bound: Option<Bound>, reason| bound.map(|bound| Rule { metric, bound, reason });
        let least = |value: Option<f64>| value.map(Bound::AtLeast);
        let most = |value: Option<f64>| value.map(Bound::AtMost);
        let target = (self.target && judged).then_some(Bound::AtLeast(1.0));
        [
            rule(metric::TARGET_REACHED, target, RejectReason::TargetMissed),
            rule(metric::TARGET_PROBABILITY, least(self.min_probability), RejectReason::TargetUnsure),
            rule(metric::PRESERVATION, least(self.min_preservation), RejectReason::NotPreserved),
            rule(metric::IDENTITY, least(self.min_identity), RejectReason::IdentityLost),
            rule(metric::MEAN_CHANGE, most(self.max_change), RejectReason::ChangedTooMuch),
            rule(metric::OUTSIDE_CHANGE, most(self.max_outside_change), RejectReason::OutsideChanged),
            rule(metric::SECOND_CLIP_GAIN, least(self.min_second_clip_gain), RejectReason::SecondClipUnmoved),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The reasons against an output with these `metrics`, in the order of the rules; accepted if there are none. `None` if no
    /// rule is in force, so that nothing can be said.
    pub fn verdict(&self, metrics: &BTreeMap<String, f64>, judged: bool) -> Option<Vec<RejectReason>> {
        let rules = self.rules(judged);
        // written so that a score that is no number meets nothing
        let met = |rule: &&Rule| match (metrics.get(rule.metric), rule.bound) {
            (Some(value), Bound::AtLeast(least)) => *value >= least,
            (Some(value), Bound::AtMost(most)) => *value <= most,
            (None, _) => false,
        };
        (!rules.is_empty()).then(|| rules.iter().filter(|rule| !met(rule)).map(|rule| rule.reason).collect())
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// Names the field that is out of range.
    pub fn validate(&self, field: &str) -> Result<(), SpecError> {
        for (name, value, low, high) in [
            ("min_probability", self.min_probability, 0.0, 1.0),
            ("min_preservation", self.min_preservation, 0.0, 1.0),
            ("min_identity", self.min_identity, -1.0, 1.0),
            ("max_change", self.max_change, 0.0, 255.0),
            ("max_outside_change", self.max_outside_change, 0.0, 255.0),
            ("min_second_clip_gain", self.min_second_clip_gain, -2.0, 2.0),
        ] {
            if let Some(value) = value {
                within(&format!("{field}.{name}"), value, low, high)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(pairs: &[(&str, f64)]) -> BTreeMap<String, f64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn an_output_is_rejected_for_every_rule_it_misses() {
        let rules = Acceptance { min_preservation: Some(0.9), max_change: Some(10.0), ..Acceptance::default() };
        let verdict = |pairs: &[(&str, f64)]| rules.verdict(&metrics(pairs), true);
        let good = [(metric::TARGET_REACHED, 1.0), (metric::PRESERVATION, 0.95), (metric::MEAN_CHANGE, 3.0)];
        assert_eq!(verdict(&good), Some(vec![]));
        let bad = [(metric::TARGET_REACHED, 0.0), (metric::PRESERVATION, 0.95), (metric::MEAN_CHANGE, 30.0)];
        assert_eq!(verdict(&bad), Some(vec![RejectReason::TargetMissed, RejectReason::ChangedTooMuch]));
        // a score that is missing does not pass
        assert_eq!(verdict(&good[..2]), Some(vec![RejectReason::ChangedTooMuch]));
        let unknown = [good[0], (metric::PRESERVATION, f64::NAN), good[2]];
        assert_eq!(verdict(&unknown), Some(vec![RejectReason::NotPreserved]));
    }

    #[test]
    fn every_reason_reads_what_it_writes_in_text_and_json() {
        for reason in RejectReason::ALL {
            assert_eq!(reason.name().parse(), Ok(reason));
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
        assert!("target".parse::<RejectReason>().unwrap_err().to_string().contains("target-missed"));
    }

    #[test]
    fn nothing_is_said_where_no_rule_applies() {
        assert_eq!(Acceptance::default().verdict(&BTreeMap::new(), false), None);
        let strict = Acceptance { min_identity: Some(2.0), ..Acceptance::default() };
        assert!(strict.validate("accept").unwrap_err().to_string().starts_with("accept.min_identity"));
    }
}
