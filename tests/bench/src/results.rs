//! What was measured of each method on each text, over all its seeds.

use crate::cache::Folder;
use crate::cells::{Bench, Cell, Wanted, cells};
use crate::edit::Cost;
use crate::measure::Scores;
use crate::plan::{Setting, Side, Text};
use crate::similarity::psnr_of_rasters;
use crate::statistics::{ByFace, average};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};

/// A method on a text.
pub struct Outcome<'a> {
    /// Name in the tables.
    pub method: String,
    /// Its setting; none for the reference rows.
    pub setting: Option<&'a Setting>,
    /// The text.
    pub text: &'a Text,
    /// The seeds that were run.
    pub seeds: Vec<u64>,
    /// By figure: the mean over seeds of each face.
    pub by_face: BTreeMap<String, ByFace>,
    /// By figure: the mean over faces of each seed.
    pub by_seed: BTreeMap<String, Vec<f64>>,
    /// Of each seed.
    pub costs: Vec<Cost>,
    /// PSNR, dB, of each face's edit to that of the setting it is a variant of, over all seeds; empty where it is of none.
    pub to_base: Vec<f64>,
}

/// Names of the rows that are no method.
pub mod reference {
    /// The reconstruction, unedited.
    pub const BEFORE: &str = "before (reconstruction)";
    /// The true counterfactual, as drawn.
    pub const TRUTH: &str = "ceiling (drawn truth)";
    /// The same through the encoder and the generator: what an editor of latents could reach by one pass of the encoder.
    pub const INVERTED: &str = "ceiling (truth, inverted)";
}

impl<'a> Outcome<'a> {
    /// From the scores of each seed.
    pub fn new(method: String, setting: Option<&'a Setting>, text: &'a Text, runs: Vec<(u64, Scores)>) -> Self {
        let names: BTreeSet<String> = runs.iter().flat_map(|(_, scores)| scores.figures.keys().cloned()).collect();
        let (mut by_face, mut by_seed) = (BTreeMap::new(), BTreeMap::new());
        for name in names {
            let mut faces: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            let mut seeds = Vec::new();
            for (_, scores) in &runs {
                let values = scores.faces.iter().zip(scores.of(&name)).filter_map(|(f, v)| Some((*f, (*v)?)));
                let values: Vec<_> = values.collect();
                seeds.extend(average(&values.iter().map(|(_, value)| *value).collect::<Vec<_>>()));
                values.into_iter().for_each(|(face, value)| faces.entry(face).or_default().push(value));
            }
            let means = faces.into_iter().filter_map(|(face, values)| Some((face, average(&values)?)));
            by_face.insert(name.clone(), means.collect());
            by_seed.insert(name, seeds);
        }
        let seeds = runs.iter().map(|(seed, _)| *seed).collect();
        Self { method, setting, text, seeds, by_face, by_seed, costs: Vec::new(), to_base: Vec::new() }
    }

    /// The values of a figure by face; empty if it was not measured.
    pub fn faces(&self, figure: &str) -> &ByFace {
        const NONE: &ByFace = &ByFace::new();
        self.by_face.get(figure).unwrap_or(NONE)
    }

    /// Faces measured.
    pub fn count(&self) -> usize {
        self.faces(crate::measure::figure::SUCCESS).len()
    }

    /// Which side it is on; none for the reference rows.
    pub fn side(&self) -> Option<Side> {
        self.setting.map(|setting| setting.side)
    }

    /// The mean over seeds of a cost; none for the reference rows and where it does not apply.
    pub fn cost(&self, of: impl Fn(&Cost) -> Option<f64>) -> Option<f64> {
        average(&self.costs.iter().filter_map(of).collect::<Vec<_>>())
    }
}

/// All that is measured so far.
pub struct Results<'a> {
    /// Reference rows of every text, then the methods in the plan's order, each text by text.
    pub outcomes: Vec<Outcome<'a>>,
    /// Cells measured, of how many.
    pub done: [usize; 2],
    /// The revisions that computed them.
    pub revisions: BTreeSet<String>,
}

/// Reads what the cache holds of a plan.
///
/// # Errors
/// When a file cannot be read or a network fails.
pub fn collect<'a>(bench: &Bench<'a>) -> Result<Results<'a>> {
    let plan = bench.plan;
    let mut outcomes = Vec::new();
    for text in &plan.texts {
        for (name, scores) in bench.references(text)? {
            outcomes.push(Outcome::new(name.to_owned(), None, text, vec![(0, scores)]));
        }
    }
    let all = cells(plan, &Wanted::default());
    let mut revisions = BTreeSet::new();
    let mut done = 0;
    for setting in &plan.methods {
        for text in &plan.texts {
            let (mut runs, mut costs, mut to_base) = (Vec::new(), Vec::new(), Vec::new());
            let base = setting.variant_of.as_ref();
            let base = base.and_then(|name| plan.methods.iter().find(|base| base.name == *name));
            for cell in all.iter().filter(|c| std::ptr::eq(c.setting, setting) && std::ptr::eq(c.text, text)) {
                let folder = bench.folder(cell)?;
                if let (Some(scores), Some(entry)) = (folder.scores(&bench.rules)?, folder.entry()?) {
                    runs.push((cell.seed, scores));
                    // seeds by their places: another seed may be the switch
                    let place = setting.seeds.iter().position(|seed| *seed == cell.seed).unwrap_or_default();
                    if let Some((base, &seed)) = base.and_then(|base| Some((base, base.seeds.get(place)?))) {
                        let base = bench.folder(&Cell { setting: base, seed, ..*cell })?;
                        to_base.extend(apart(&folder, &base, bench.networks.engine.resolution())?);
                    }
                    costs.push(entry.cost);
                    revisions.insert(entry.revision);
                }
            }
            if !runs.is_empty() {
                done += runs.len();
                outcomes.push(Outcome {
                    costs,
                    to_base,
                    ..Outcome::new(setting.name.clone(), Some(setting), text, runs)
                });
            }
        }
    }
    Ok(Results { outcomes, done: [done, all.len()], revisions })
}

/// PSNR of each picture of one folder to that of the other, if both have any.
fn apart(one: &Folder, other: &Folder, side: i64) -> Result<Vec<f64>> {
    if one.entry()?.is_none() || other.entry()?.is_none() {
        return Ok(Vec::new());
    }
    let (one, other) = (one.rasters(side)?, other.rasters(side)?);
    Ok(one.iter().zip(&other).map(|(a, b)| psnr_of_rasters(a, b)).collect())
}

impl<'a> Results<'a> {
    /// The outcome of a method on a text.
    pub fn find(&self, method: &str, text: &Text) -> Option<&Outcome<'a>> {
        self.outcomes.iter().find(|outcome| outcome.method == method && std::ptr::eq(outcome.text, text))
    }

    /// The names of the rows: references first, then the methods, in order.
    pub fn methods(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for outcome in &self.outcomes {
            if !names.contains(&outcome.method.as_str()) {
                names.push(&outcome.method);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use std::path::Path;

    #[test]
    fn seeds_are_averaged_face_by_face() {
        let plan = Plan::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("quality.toml")).unwrap();
        let run = |values: [Option<f64>; 3]| Scores {
            faces: vec![4, 5, 9],
            figures: BTreeMap::from([("success".to_owned(), values.to_vec())]),
        };
        let runs = vec![(0, run([Some(1.0), Some(0.0), None])), (1, run([Some(1.0), Some(1.0), None]))];
        let outcome = Outcome::new("m".to_owned(), None, &plan.texts[0], runs);
        assert_eq!(outcome.faces("success"), &ByFace::from([(4, 1.0), (5, 0.5)]));
        assert_eq!((outcome.by_seed["success"].as_slice(), outcome.count()), ([0.5, 1.0].as_slice(), 2));
        assert!(outcome.faces("unknown").is_empty());
    }
}
