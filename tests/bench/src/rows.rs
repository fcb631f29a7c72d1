//! `quality.json`: one row a method and text, every figure with its intervals.

use crate::measure::figure;
use crate::plan::Kind;
use crate::results::Outcome;
use crate::statistics::{Interval, mean, over_seeds};
use serde::Serialize;
use std::collections::BTreeMap;

/// A row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Name of the method's setting, or of a reference.
    pub method: String,
    /// The target text.
    pub text: String,
    /// Whether the generator has seen it.
    pub kind: Kind,
    /// Faces.
    pub n: usize,
    /// Seeds that were run; empty for references.
    pub seeds: Vec<u64>,
    /// The means; null where a figure does not apply or the pack lacks the network.
    #[serde(flatten)]
    pub figures: BTreeMap<&'static str, Option<f64>>,
    /// Their 95 % intervals.
    pub ci95: BTreeMap<&'static str, Intervals>,
    /// Wall-clock time from latent to edited image.
    pub seconds_per_image: Option<f64>,
    /// Processor time of the same: what it takes on a machine that does nothing else.
    pub cpu_seconds_per_image: Option<f64>,
    /// Wall-clock time of the mapper's training.
    pub training_seconds: Option<f64>,
    /// Processor time of the same.
    pub training_cpu_seconds: Option<f64>,
    /// Mean strength, where one was searched.
    pub strength: Option<f64>,
    /// Faces whose edit failed, over all seeds; they stand as they were.
    pub failed: usize,
    /// The method with all its hyper-parameters; null for references.
    pub setting: serde_json::Value,
}

/// The intervals of one figure.
#[derive(Debug, Serialize)]
pub struct Intervals {
    /// By a bootstrap over faces.
    pub faces: Interval,
    /// By Student's t over seeds; null for one.
    pub seeds: Option<Interval>,
}

impl Row {
    /// The row of an outcome.
    ///
    /// # Errors
    /// When the setting has no JSON.
    pub fn of(outcome: &Outcome<'_>) -> serde_json::Result<Self> {
        let (mut figures, mut ci95) = (BTreeMap::new(), BTreeMap::new());
        for name in figure::ALL {
            let found = mean(&[outcome.faces(name)]);
            figures.insert(name, found.map(|(value, _)| rounded(value)));
            if let Some((_, faces)) = found {
                let seeds = outcome.by_seed.get(name).and_then(|means| over_seeds(means));
                ci95.insert(
                    name,
                    Intervals { faces: faces.map(rounded), seeds: seeds.map(|seeds| seeds.map(rounded)) },
                );
            }
        }
        let cost = |of: fn(&crate::edit::Cost) -> Option<f64>| outcome.cost(of).map(rounded);
        Ok(Self {
            method: outcome.method.clone(),
            text: outcome.text.text.clone(),
            kind: outcome.text.kind,
            n: outcome.count(),
            seeds: if outcome.setting.is_some() { outcome.seeds.clone() } else { Vec::new() },
            figures,
            ci95,
            seconds_per_image: cost(|cost| Some(cost.seconds_per_image)),
            cpu_seconds_per_image: cost(|cost| Some(cost.cpu_seconds_per_image)),
            training_seconds: cost(|cost| Some(cost.training?.seconds)),
            training_cpu_seconds: cost(|cost| Some(cost.training?.cpu_seconds)),
            strength: cost(|cost| crate::statistics::average(cost.strengths.as_deref()?)),
            failed: outcome.costs.iter().map(|cost| cost.failed.len()).sum(),
            setting: match outcome.setting {
                Some(setting) => serde_json::json!({
                    "method": serde_json::to_value(&setting.method)?,
                    "precision": setting.precision,
                    "strength": setting.strength,
                    "strength_search": setting.strength_search,
                }),
                None => serde_json::Value::Null,
            },
        })
    }
}

/// Five decimals: more than any interval here can tell.
fn rounded(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}
