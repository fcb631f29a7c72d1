//! What came of a soak: `report.json`, and the table for people.

use super::judge::{self, Kept, Series, Shares};
use super::load::{Load, PROJECTS};
use super::sample::Sample;
use super::{Event, Plan};
use crate::rig::Rig;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// I9 speaks of any backlogged five minutes.
const WINDOW_S: f64 = 300.0;
/// A tenth of what three workers can do in that time, and twenty times what one dispatcher hands a project at once.
const LEAST_MS: f64 = 90_000.0;
const LEAST_SHARE: f64 = 0.8;
/// Fault 16: at least this part of the pace while a snapshot is held.
const LEAST_PACE: f64 = 0.8;

/// A fault that struck.
#[derive(Serialize, Clone, Debug)]
pub struct Struck {
    /// Seconds after the start.
    pub at_s: f64,
    /// Its name.
    pub fault: String,
    /// What the harness could not do, if so.
    pub error: Option<String>,
}

/// The pace without and with a transaction that holds its snapshot.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct Pinned {
    /// How long it was held.
    pub minutes: f64,
    /// Tasks per second before and after.
    pub free_per_s: f64,
    /// Tasks per second meanwhile.
    pub held_per_s: f64,
}

/// The report.
#[derive(Serialize, Clone, Debug)]
pub struct Report {
    /// False in what a run leaves that is still on, or was killed.
    pub ended: bool,
    /// Minutes under load that were made.
    pub minutes: f64,
    /// Chose the faults.
    pub seed: u64,
    /// Samples that were taken.
    pub samples: usize,
    /// Jobs that ended and were checked.
    pub jobs: u64,
    /// Tasks that succeeded.
    pub tasks: f64,
    /// Faults, in order.
    pub faults: Vec<Struck>,
    /// Fault 16.
    pub pinned: Option<Pinned>,
    /// I9.
    pub shares: Option<Shares>,
    /// What must be flat.
    pub series: Vec<Series>,
    /// What is kept for ever.
    pub kept: Vec<Kept>,
    /// What did not hold, one sentence each.
    pub violations: Vec<String>,
}

impl Report {
    /// Of a run that begins.
    pub fn new(plan: &Plan) -> Self {
        Self {
            ended: false,
            minutes: 0.0,
            seed: plan.seed,
            samples: 0,
            jobs: 0,
            tasks: 0.0,
            faults: Vec::new(),
            pinned: None,
            shares: None,
            series: Vec::new(),
            kept: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// Notes what happened.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Struck(struck) => self.faults.push(struck),
            Event::Pinned(pinned) => self.pinned = Some(pinned),
        }
    }

    /// Judges what there is.
    pub fn judge(&mut self, samples: &[Sample], load: &Load) {
        if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
            self.minutes = self.minutes.max((last.at - first.at) / 60.0);
        }
        self.samples = samples.len();
        (self.jobs, self.tasks) = (load.ended(), load.done());
        (self.series, self.kept) = (judge::series(samples), judge::kept(samples));
        self.violations = load.violations();
        if let Some(pinned) = self.pinned
            && pinned.held_per_s < LEAST_PACE * pinned.free_per_s
        {
            let Pinned { free_per_s, held_per_s, .. } = pinned;
            self.violations.push(format!(
                "16: {held_per_s:.1} tasks/s while a snapshot was held, {free_per_s:.1} before and after: less than {LEAST_PACE}"
            ));
        }
        if let Some(Shares { worst: Some(worst), .. }) = self.shares
            && worst < LEAST_SHARE
        {
            self.violations.push(format!("I9: a project got {worst:.2} of its share, not {LEAST_SHARE}"));
        }
    }

    /// Looks how GPU time was shared.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn shares(&mut self, rig: &Rig, samples: &[Sample]) -> Result<()> {
        let served = judge::served(rig).await?;
        let weights: Vec<f64> = PROJECTS.iter().map(|(_, weight)| *weight).collect();
        self.shares = Some(judge::shares(samples, &served, &weights, (WINDOW_S, LEAST_MS)));
        Ok(())
    }

    /// Whether something did not hold or grows.
    pub fn is_bad(&self) -> bool {
        !self.violations.is_empty() || self.series.iter().any(|series| !series.flat)
    }

    /// Writes `report.json` and `SOAK.md`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        // a run that is killed while it writes must leave a whole one
        let (new, path) = (folder.join("report.json.new"), folder.join("report.json"));
        std::fs::write(&new, serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::rename(new, path)?;
        Ok(std::fs::write(folder.join("SOAK.md"), self.table())?)
    }

    fn table(&self) -> String {
        let mut text = format!(
            "{:.0} minutes, seed {}, {} samples; {} jobs ended and were checked, {:.0} tasks succeeded, {} faults struck.\n",
            self.minutes,
            self.seed,
            self.samples,
            self.jobs,
            self.tasks,
            self.faults.len()
        );
        if let Some(Pinned { minutes, free_per_s, held_per_s }) = self.pinned {
            let _ = writeln!(
                text,
                "\nA snapshot held for {minutes:.0} minutes with a reader busy: {held_per_s:.1} tasks/s, {free_per_s:.1} before and after."
            );
        }
        if let Some(Shares { windows, worst: Some(worst), .. }) = self.shares {
            let _ = writeln!(
                text,
                "\nI9: in {windows} windows of five minutes with both projects backlogged, neither got less than {worst:.2} of \
                 what its weight gives it (bound {LEAST_SHARE})."
            );
        }
        text += "\n## Violations\n\n";
        text += if self.violations.is_empty() { "None.\n" } else { "" };
        for violation in &self.violations {
            let _ = writeln!(text, "- {violation}");
        }
        text += "\n## What must be flat\n\nJudged over the second half: growth an hour, by the median of the slopes between any two samples.\n\n";
        text += "| series | first | median | last | growth an hour | bound | flat | why the bound |\n|---|---|---|---|---|---|---|---|\n";
        for Series { name, first, median, last, per_hour, bound, why, flat } in &self.series {
            let flat = if *flat { "yes" } else { "**no**" };
            let _ = writeln!(
                text,
                "| {name} | {first:.0} | {median:.0} | {last:.0} | {per_hour:.1} | {bound:.1} | {flat} | {why} |"
            );
        }
        text += "\n## What is kept for ever\n\n| table | KiB | bytes a task |\n|---|---|---|\n";
        for Kept { name, kib, bytes_per_task } in &self.kept {
            let _ = writeln!(text, "| {name} | {kib:.0} | {bytes_per_task:.0} |");
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for struck in &self.faults {
            *counts.entry(&struck.fault).or_default() += 1;
        }
        text += "\n## Faults\n\n| fault | times |\n|---|---|\n";
        for (name, times) in counts {
            let _ = writeln!(text, "| {name} | {times} |");
        }
        text
    }
}
