//! The report's files: `report.html` for people, `flips.csv` and `pairs.csv` for their own statistics, `report.json` for programs.

mod plot;

use super::Role;
use super::rows::{GroupGap, Outputs, Pair, Question, Rate, Row};
use super::stats::RESAMPLES;
use anyhow::{Context as _, Result};
use askama::Template;
use domain::record::Verdict;
use domain::{Digest, JobId};
use plot::{Figure, Line, Mark, Series};
use serde::Serialize;
use std::path::Path;

/// The classifier, as it was named.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// `scores`, `torchscript`, `judge` (weights with a pack's heads) or `pack-judge`.
    pub kind: &'static str,
    /// The file's name: of the scores, the weights, or the pack's manifest.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: Digest,
    /// The judge's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// An audit.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// Its dataset.
    pub dataset: String,
    /// Its pack.
    pub pack: String,
    /// The classifier.
    #[serde(rename = "classifier")]
    pub asked: Asked,
    /// Its classes.
    pub classes: Vec<String>,
    /// The class whose presence is the decision; without one, any change of class is a flip.
    pub positive: Option<String>,
    /// Labels by which groups are compared.
    pub groups: Vec<String>,
    /// Seed of every bootstrap and permutation.
    pub seed: u64,
    /// Results whose three images were scored.
    pub pairs: usize,
    /// Results that were left out because an image has no score.
    pub without_score: usize,
    /// Edits of the job that gave no image.
    pub failed_tasks: i64,
    /// Counts.
    pub rows: Vec<Row>,
    /// Differences between groups.
    pub gaps: Vec<GroupGap>,
}

impl Report {
    /// Writes the four files into `folder`.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub fn write(&self, folder: &Path, pairs: &[Pair], question: &Question) -> Result<()> {
        let put = |name: &str, bytes: Vec<u8>| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
        };
        put("flips.csv", self.flips()?)?;
        put("pairs.csv", self.pairs(pairs, question)?)?;
        put("report.json", serde_json::to_vec_pretty(self)?)?;
        put("report.html", self.html()?.into_bytes())
    }

    /// A line a row.
    fn flips(&self) -> Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record([
            "edit",
            "strength",
            "outputs",
            "label",
            "group",
            "pairs",
            "sources",
            "flips",
            "flip_rate",
            "flip_low",
            "flip_high",
            "control_flips",
            "control_rate",
            "control_low",
            "control_high",
            "attributable_flips",
            "attributable_rate",
            "attributable_low",
            "attributable_high",
            "net_rate",
            "net_low",
            "net_high",
            "net_method",
            "to_positive",
            "to_negative",
            "score_change",
            "score_change_control",
            "score_change_attributable",
            "score_change_low",
            "score_change_high",
            "mcnemar_p",
            "holm_p",
            "warnings",
        ])?;
        for row in &self.rows {
            let mut cells = vec![
                row.edit.clone(),
                row.strength.to_string(),
                row.outputs.name().to_owned(),
                row.label.clone().unwrap_or_default(),
                row.group.clone().unwrap_or_default(),
                row.n.to_string(),
                row.sources.to_string(),
            ];
            for Rate { flips, rate, interval } in [row.flip, row.control, row.attributable] {
                cells.extend([
                    flips.to_string(),
                    rate.to_string(),
                    interval.low.to_string(),
                    interval.high.to_string(),
                ]);
            }
            cells.extend([row.net.value, row.net.interval.low, row.net.interval.high].map(|value| value.to_string()));
            cells.push(row.net.method.to_owned());
            cells.extend([row.to_positive, row.to_negative].map(|n| n.map_or_else(String::new, |n| n.to_string())));
            match row.score {
                Some(s) => cells.extend(
                    [s.edit, s.control, s.attributable, s.interval.low, s.interval.high].map(|value| value.to_string()),
                ),
                None => cells.extend(vec![String::new(); 5]),
            }
            cells.extend([row.p.to_string(), row.p_holm.to_string(), row.warnings.join("; ")]);
            csv.write_record(cells)?;
        }
        Ok(csv.into_inner()?)
    }

    /// A line a pair.
    fn pairs(&self, pairs: &[Pair], question: &Question) -> Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let mut header: Vec<String> = ["task", "edit", "strength", "seed", "ordinal"].map(str::to_owned).into();
        header.extend(Role::ALL.map(|role| format!("{}_sha256", role.name())));
        header.push("verdict".to_owned());
        header.extend(self.groups.iter().map(|label| format!("label_{label}")));
        header.extend(Role::ALL.map(|role| format!("{}_class", role.name())));
        header.extend(Role::ALL.map(|role| format!("{}_score", role.name())));
        header.extend(["flip", "control_flip", "attributable_flip"].map(str::to_owned));
        csv.write_record(&header)?;
        for pair in pairs {
            let mut cells = vec![
                pair.task.to_string(),
                pair.edit.clone(),
                pair.strength.to_string(),
                pair.seed.to_string(),
                pair.ordinal.to_string(),
            ];
            cells.extend(pair.images.map(|digest| digest.to_string()));
            let verdict = match pair.verdict {
                Some(Verdict::Accept) => "accepted",
                Some(Verdict::Reject) => "rejected",
                None => "",
            };
            cells.push(verdict.to_owned());
            cells.extend(pair.groups.iter().map(|group| group.clone().unwrap_or_default()));
            cells.extend(Role::ALL.map(|role| self.classes[pair.readings[role as usize].class].clone()));
            let score = |role| pair.score(role, question.positive).map_or_else(String::new, |score| score.to_string());
            cells.extend(Role::ALL.map(score));
            let flips = |from, to| u8::from(pair.flips(from, to, question.positive)).to_string();
            cells.extend([
                flips(Role::Source, Role::Edit),
                flips(Role::Source, Role::Reconstruction),
                flips(Role::Reconstruction, Role::Edit),
            ]);
            csv.write_record(&cells)?;
        }
        Ok(csv.into_inner()?)
    }

    fn html(&self) -> Result<String> {
        let section = |outputs: Outputs| Section {
            title: match outputs {
                Outputs::All => "All outputs",
                Outputs::Accepted => "Accepted outputs",
                Outputs::Rejected => "Rejected outputs",
            },
            figures: self.figures(outputs),
            rows: self.rows.iter().filter(|row| row.outputs == outputs).collect(),
            gaps: self.gaps.iter().filter(|gap| gap.outputs == outputs).collect(),
        };
        let sections: Vec<_> =
            Outputs::ORDER.into_iter().map(section).filter(|section| !section.rows.is_empty()).collect();
        Page { report: self, sections }.render().context("the report's page")
    }

    /// Plots of the rows of some outputs: over all sources, then one a label.
    fn figures(&self, outputs: Outputs) -> Vec<Figure> {
        let mut figures = Vec::new();
        for label in std::iter::once(None).chain(self.groups.iter().map(|label| Some(label.as_str()))) {
            let rows = || self.rows.iter().filter(move |row| row.outputs == outputs && row.label.as_deref() == label);
            let name = |row: &Row| match &row.group {
                Some(group) => format!("{} ×{}: {group}", row.edit, row.strength),
                None => format!("{} ×{}", row.edit, row.strength),
            };
            let of = label.map(|label| format!(" by {label}")).unwrap_or_default();
            let flips = rows().map(|row| Line {
                label: name(row),
                marks: [
                    (Series::Edit, row.flip),
                    (Series::Control, row.control),
                    (Series::Attributable, row.attributable),
                ]
                .map(|(series, rate)| Mark { series, value: rate.rate, interval: rate.interval })
                .into(),
            });
            figures.push(Figure::new(&format!("Decisions that change{of}"), [0.0, 1.0], flips.collect()));
            let net = rows().map(|row| Line {
                label: name(row),
                marks: vec![Mark { series: Series::Net, value: row.net.value, interval: row.net.interval }],
            });
            figures.push(Figure::new(&format!("Net of control{of}"), [-1.0, 1.0], net.collect()));
        }
        figures
    }
}

/// The tables and plots of some outputs.
struct Section<'a> {
    title: &'static str,
    figures: Vec<Figure>,
    rows: Vec<&'a Row>,
    gaps: Vec<&'a GroupGap>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    report: &'a Report,
    sections: Vec<Section<'a>>,
}

impl Page<'_> {
    /// What a flip is.
    fn decision(&self) -> String {
        match &self.report.positive {
            Some(class) => format!("“{class}” or not"),
            None => format!("one of {} classes", self.report.classes.len()),
        }
    }

    fn resamples(&self) -> usize {
        RESAMPLES
    }
}

/// A share in percent, with its interval.
fn with_interval(value: &f64, interval: &super::stats::Interval) -> String {
    format!("{:.1} % [{:.1}, {:.1}]", 100.0 * value, 100.0 * interval.low, 100.0 * interval.high)
}

fn p_value(p: &f64) -> String {
    if *p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") }
}

fn signed(value: &f64) -> String {
    format!("{value:+.3}")
}

#[cfg(test)]
mod tests;
