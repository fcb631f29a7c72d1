//! From pairs to the rows of the report.
//!
//! A row counts the pairs of one edit at one strength, of all outputs, of those that were accepted or of those that were rejected, over
//! all sources or over those of one group. Seeds of a row repeat its sources; so do strengths, which have rows of their own.

use super::Role;
use super::scores::{Reading, Scores};
use super::stats::{self, Cluster, Interval, PairedTable};
use domain::record::Verdict;
use domain::{Digest, TaskId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use wire::http::v1::EditResult;

/// Below this, intervals are wide and tests see little.
pub const FEW: u64 = 30;

/// What is counted.
#[derive(Clone, Debug)]
pub struct Question {
    /// The class whose presence is the decision; without one, a flip is any change of class.
    pub positive: Option<usize>,
    /// Labels of sources to compare groups by.
    pub groups: Vec<String>,
    /// Seed of every bootstrap.
    pub seed: u64,
}

/// One output with what was said of its three images.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The task.
    pub task: TaskId,
    /// The edit's slug.
    pub edit: String,
    /// Factor on the latent change.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
    /// Place of the source in its dataset.
    pub ordinal: i64,
    /// Digests of source, reconstruction and edit.
    pub images: [Digest; 3],
    /// Whether the counterfactual holds.
    pub verdict: Option<Verdict>,
    /// The source's value of each label of [`Question::groups`].
    pub groups: Vec<Option<String>>,
    /// What was said of source, reconstruction and edit.
    pub readings: [Reading; 3],
}

impl Pair {
    /// The pair of a result; `None` unless all three images were scored.
    pub fn of(result: &EditResult, scores: &Scores, groups: Vec<Option<String>>) -> Option<Self> {
        let reading = |role| scores.of(result, role).cloned();
        let readings = [reading(Role::Source)?, reading(Role::Reconstruction)?, reading(Role::Edit)?];
        Some(Self {
            task: result.task,
            edit: result.edit.clone(),
            strength: result.strength,
            seed: result.seed,
            ordinal: result.ordinal,
            images: [result.source, result.reconstruction, result.image],
            verdict: result.verdict,
            groups,
            readings,
        })
    }

    /// What was decided of an image: the class, or 1 for the positive class and 0 for any other.
    pub fn decision(&self, role: Role, positive: Option<usize>) -> usize {
        let class = self.readings[role as usize].class;
        positive.map_or(class, |positive| usize::from(class == positive))
    }

    /// How sure the classifier is of the positive class, or, without one, of the class that it decided for the source.
    pub fn score(&self, role: Role, positive: Option<usize>) -> Option<f64> {
        let class = positive.unwrap_or(self.readings[Role::Source as usize].class);
        self.readings[role as usize].scores.as_ref()?.get(class).copied()
    }

    /// Whether the decision differs between two of its images.
    pub fn flips(&self, from: Role, to: Role, positive: Option<usize>) -> bool {
        self.decision(from, positive) != self.decision(to, positive)
    }
}

/// Which outputs a row counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outputs {
    /// Every output, judged or not.
    All,
    /// Those that meet every rule of acceptance.
    Accepted,
    /// Those that miss one.
    Rejected,
}

impl Outputs {
    /// In the order of the report.
    pub const ORDER: [Self; 3] = [Self::All, Self::Accepted, Self::Rejected];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }

    fn holds(self, pair: &Pair) -> bool {
        match self {
            Self::All => true,
            Self::Accepted => pair.verdict == Some(Verdict::Accept),
            Self::Rejected => pair.verdict == Some(Verdict::Reject),
        }
    }
}

/// How many pairs change their decision.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Rate {
    /// Pairs that do.
    pub flips: u64,
    /// Their share, 0 to 1.
    pub rate: f64,
    /// Wilson's interval of the share.
    pub interval: Interval,
}

/// A difference of shares or scores.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// The difference, -1 to 1 for shares.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// How the interval was made: `newcombe-paired` where each source stands once in the row, else `cluster-bootstrap`.
    pub method: &'static str,
}

/// A mean change of the score.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct ScoreChange {
    /// From source to edit.
    pub edit: f64,
    /// From source to reconstruction.
    pub control: f64,
    /// From reconstruction to edit.
    pub attributable: f64,
    /// Interval of `attributable`, by a bootstrap over sources.
    pub interval: Interval,
}

/// A line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The edit's slug.
    pub edit: String,
    /// Factor on the latent change.
    pub strength: f64,
    /// Which outputs it counts.
    pub outputs: Outputs,
    /// The label by which its sources were chosen; absent where it counts all.
    pub label: Option<String>,
    /// Their value of it.
    pub group: Option<String>,
    /// Pairs.
    pub n: u64,
    /// Sources that they are of.
    pub sources: u64,
    /// Decisions that differ between source and edit.
    pub flip: Rate,
    /// Decisions that differ between source and reconstruction.
    pub control: Rate,
    /// Decisions that differ between reconstruction and edit.
    pub attributable: Rate,
    /// Share of `flip` less that of `control`.
    pub net: Difference,
    /// Pairs from 0 to 1, source to edit; absent without a positive class.
    pub to_positive: Option<u64>,
    /// Pairs from 1 to 0.
    pub to_negative: Option<u64>,
    /// Absent where the classifier gave no scores.
    pub score: Option<ScoreChange>,
    /// McNemar's exact test that `flip` and `control` are equally frequent.
    pub p: f64,
    /// The same by Holm, over all rows of the report.
    pub p_holm: f64,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// The largest difference between groups of a label.
#[derive(Clone, Debug, Serialize)]
pub struct GroupGap {
    /// The edit's slug.
    pub edit: String,
    /// Factor on the latent change.
    pub strength: f64,
    /// Which outputs.
    pub outputs: Outputs,
    /// The label.
    pub label: String,
    /// `flip`, `attributable` or `net`.
    pub measure: &'static str,
    /// The group where it is highest.
    pub highest: String,
    /// The group where it is lowest.
    pub lowest: String,
    /// Highest less lowest.
    pub gap: f64,
    /// Percentile interval of a bootstrap over sources within groups.
    pub interval: Interval,
    /// Permutation test that groups do not differ.
    pub p: f64,
    /// The same by Holm, over all gaps of the report.
    pub p_holm: f64,
}

/// The name of the group of sources without a label.
pub const UNLABELLED: &str = "(none)";

/// All rows and gaps, in the order of edits, strengths, outputs, labels and groups.
pub fn count(pairs: &[Pair], question: &Question) -> (Vec<Row>, Vec<GroupGap>) {
    let mut cells: BTreeMap<(&str, Strength), Vec<&Pair>> = BTreeMap::new();
    for pair in pairs {
        cells.entry((&pair.edit, Strength(pair.strength))).or_default().push(pair);
    }
    let (mut rows, mut gaps) = (Vec::new(), Vec::new());
    for cell in cells.values() {
        for outputs in Outputs::ORDER {
            let held: Vec<&Pair> = cell.iter().copied().filter(|pair| outputs.holds(pair)).collect();
            rows.extend(row(&held, outputs, None, question));
            for (place, label) in question.groups.iter().enumerate() {
                let mut groups: BTreeMap<&str, Vec<&Pair>> = BTreeMap::new();
                for pair in &held {
                    groups.entry(pair.groups[place].as_deref().unwrap_or(UNLABELLED)).or_default().push(pair);
                }
                for (group, members) in &groups {
                    rows.extend(row(members, outputs, Some((label, group)), question));
                }
                gaps.extend(group_gaps(&groups, outputs, label, question));
            }
        }
    }
    let adjusted = stats::holm(&rows.iter().map(|row| row.p).collect::<Vec<_>>());
    rows.iter_mut().zip(adjusted).for_each(|(row, p)| row.p_holm = p);
    let adjusted = stats::holm(&gaps.iter().map(|gap| gap.p).collect::<Vec<_>>());
    gaps.iter_mut().zip(adjusted).for_each(|(gap, p)| gap.p_holm = p);
    (rows, gaps)
}

#[derive(Clone, Copy, PartialEq)]
struct Strength(f64);

impl Eq for Strength {}

impl PartialOrd for Strength {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Strength {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

fn row(pairs: &[&Pair], outputs: Outputs, group: Option<(&str, &str)>, question: &Question) -> Option<Row> {
    let first = pairs.first()?;
    let positive = question.positive;
    let n = pairs.len() as u64;
    let sources = pairs.iter().map(|pair| pair.images[0]).collect::<BTreeSet<_>>().len() as u64;
    let rate = |from, to| {
        let flips = pairs.iter().filter(|pair| pair.flips(from, to, positive)).count() as u64;
        Some(Rate { flips, rate: flips as f64 / n as f64, interval: stats::wilson(flips, n)? })
    };
    let (flip, control) = (rate(Role::Source, Role::Edit)?, rate(Role::Source, Role::Reconstruction)?);
    let both = |pair: &&Pair| {
        (pair.flips(Role::Source, Role::Edit, positive), pair.flips(Role::Source, Role::Reconstruction, positive))
    };
    let table = PairedTable::count(pairs.iter().map(both));
    let net = flip.rate - control.rate;
    let net = if sources == n {
        Difference { value: net, interval: table.newcombe()?, method: "newcombe-paired" }
    } else {
        let interval = stats::bootstrap_mean(&clusters(pairs, |pair| net_flip(pair, positive)), question.seed)?;
        Difference { value: net, interval, method: "cluster-bootstrap" }
    };
    let moved = |from: usize, to: usize| {
        let is =
            |pair: &&&Pair| pair.decision(Role::Source, positive) == from && pair.decision(Role::Edit, positive) == to;
        positive.map(|_| pairs.iter().filter(is).count() as u64)
    };
    let mut warnings = Vec::new();
    if n < FEW {
        warnings.push(format!("only {n} pairs: fewer than {FEW} tell little"));
    }
    if sources < n {
        warnings.push(format!("{n} pairs of {sources} sources: Wilson and McNemar take them as independent"));
    }
    Some(Row {
        edit: first.edit.clone(),
        strength: first.strength,
        outputs,
        label: group.map(|(label, _)| label.to_owned()),
        group: group.map(|(_, group)| group.to_owned()),
        n,
        sources,
        flip,
        control,
        attributable: rate(Role::Reconstruction, Role::Edit)?,
        net,
        to_positive: moved(0, 1),
        to_negative: moved(1, 0),
        score: score_change(pairs, question),
        p: table.mcnemar(),
        p_holm: 1.0,
        warnings,
    })
}

/// 1 if the edit alone flips, -1 if the reconstruction alone does, else 0: the mean is the net rate.
fn net_flip(pair: &Pair, positive: Option<usize>) -> f64 {
    let flips = |to| f64::from(u8::from(pair.flips(Role::Source, to, positive)));
    flips(Role::Edit) - flips(Role::Reconstruction)
}

/// The values of each source's pairs, in the order of the sources' digests.
fn clusters(pairs: &[&Pair], value: impl Fn(&Pair) -> f64) -> Vec<Cluster> {
    let mut sources: BTreeMap<Digest, Cluster> = BTreeMap::new();
    for pair in pairs {
        sources.entry(pair.images[0]).or_default().add(value(pair));
    }
    sources.into_values().collect()
}

fn score_change(pairs: &[&Pair], question: &Question) -> Option<ScoreChange> {
    let scored: Vec<[f64; 3]> = pairs
        .iter()
        .map(|pair| {
            Some([
                pair.score(Role::ALL[0], question.positive)?,
                pair.score(Role::ALL[1], question.positive)?,
                pair.score(Role::ALL[2], question.positive)?,
            ])
        })
        .collect::<Option<_>>()?;
    let mean = |from: usize, to: usize| scored.iter().map(|s| s[to] - s[from]).sum::<f64>() / scored.len() as f64;
    // safe to default because every pair was found to have scores
    let of = |pair: &Pair, role| pair.score(role, question.positive).unwrap_or_default();
    let changes = clusters(pairs, |pair| of(pair, Role::Edit) - of(pair, Role::Reconstruction));
    Some(ScoreChange {
        edit: mean(0, 2),
        control: mean(0, 1),
        attributable: mean(1, 2),
        interval: stats::bootstrap_mean(&changes, question.seed)?,
    })
}

/// A number of each pair, whose mean is compared.
type Value<'a> = &'a dyn Fn(&Pair) -> f64;

fn group_gaps(
    groups: &BTreeMap<&str, Vec<&Pair>>,
    outputs: Outputs,
    label: &str,
    question: &Question,
) -> Vec<GroupGap> {
    let names: Vec<&str> = groups.keys().copied().collect();
    let Some(first) = groups.values().flatten().next() else { return Vec::new() };
    let positive = question.positive;
    let flips = |pair: &Pair, from, to| f64::from(u8::from(pair.flips(from, to, positive)));
    let measures: [(&'static str, Value<'_>); 3] = [
        ("flip", &|pair| flips(pair, Role::Source, Role::Edit)),
        ("attributable", &|pair| flips(pair, Role::Reconstruction, Role::Edit)),
        ("net", &|pair| net_flip(pair, positive)),
    ];
    let of = |(measure, value): (&'static str, Value<'_>)| {
        let members: Vec<Vec<Cluster>> = groups.values().map(|pairs| clusters(pairs, value)).collect();
        let found = stats::gap(&members, question.seed)?;
        Some(GroupGap {
            edit: first.edit.clone(),
            strength: first.strength,
            outputs,
            label: label.to_owned(),
            measure,
            highest: names[found.highest].to_owned(),
            lowest: names[found.lowest].to_owned(),
            gap: found.gap,
            interval: found.interval,
            p: found.p,
            p_holm: 1.0,
        })
    };
    measures.into_iter().filter_map(of).collect()
}

#[cfg(test)]
pub mod tests;
