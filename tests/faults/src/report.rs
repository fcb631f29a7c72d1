//! What came of the runs: `.local/faults/report.json`, in the form that the project's issue fixes.

use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The report.
#[derive(Serialize, Debug, Default)]
pub struct Report {
    /// Runs that were made.
    pub runs: u32,
    /// Their seeds.
    pub seeds: Vec<u64>,
    /// By fault, in the order of the matrix; `pairs` are all runs with two.
    pub faults: Vec<Line>,
    /// Violations of an invariant, over all.
    pub violations: u32,
    /// What the harness itself could not do; such a seed is not among the runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmade: Vec<String>,
}

/// One fault.
#[derive(Serialize, Debug, Default)]
pub struct Line {
    /// Its name: the number in the matrix and what is done.
    pub name: String,
    /// Runs with it.
    pub runs: u32,
    /// Median of the seconds from the end of the fault until every hand-out that was under way when it struck has come to an end or
    /// is out anew; none where nothing was run.
    pub recovery_p50_s: Option<f64>,
    /// The 95th percentile of them.
    pub recovery_p95_s: Option<f64>,
    /// Violations of an invariant in them.
    pub violations: u32,
    /// Why it was not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// One run's result.
#[derive(Debug)]
pub struct Ran {
    /// Its seed.
    pub seed: u64,
    /// The fault's name, or `pairs`.
    pub name: String,
    /// Seconds of recovery; none if the job was over before the fault was.
    pub recovery_s: Option<f64>,
    /// What was violated, one sentence each.
    pub violations: Vec<String>,
}

impl Report {
    /// Of these runs; `skipped` are faults that cannot be made here, with the reason.
    pub fn of(ran: &[Ran], skipped: &[(String, String)]) -> Self {
        let mut lines: BTreeMap<String, (Line, Vec<f64>)> = BTreeMap::new();
        for run in ran {
            let (line, times) = lines.entry(run.name.clone()).or_default();
            line.runs += 1;
            line.violations += count(run.violations.len());
            times.extend(run.recovery_s);
        }
        for (name, why) in skipped {
            lines.entry(name.clone()).or_default().0.skipped = Some(why.clone());
        }
        let finished = lines.into_iter().map(|(name, (line, mut times))| {
            times.sort_by(f64::total_cmp);
            Line { name, recovery_p50_s: quantile(&times, 0.5), recovery_p95_s: quantile(&times, 0.95), ..line }
        });
        Self {
            runs: count(ran.len()),
            seeds: ran.iter().map(|run| run.seed).collect(),
            faults: finished.collect(),
            violations: ran.iter().map(|run| count(run.violations.len())).sum(),
            unmade: Vec::new(),
        }
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let shown = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
        let mut text = format!("{} runs, {} violations.\n\n", self.runs, self.violations);
        text += "| fault | runs | recovery p50, s | recovery p95, s | violations |\n|---|---|---|---|---|\n";
        for line in self.faults.iter().filter(|line| line.skipped.is_none()) {
            let Line { name, runs, recovery_p50_s, recovery_p95_s, violations, .. } = line;
            let (p50, p95) = (shown(*recovery_p50_s), shown(*recovery_p95_s));
            text += &format!("| {name} | {runs} | {p50} | {p95} | {violations} |\n");
        }
        for Line { name, skipped, .. } in &self.faults {
            text += &skipped.as_ref().map_or_else(String::new, |why| format!("\nNot made: {name}: {why}.\n"));
        }
        text
    }

    /// Writes it, and the table beside it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path.with_file_name("RESULTS.md"), self.table())?;
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?)
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The value at `part` of the sorted values, by nearest rank, to a hundredth.
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    // safe: an index into a list in memory
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(|value| (value * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_fields_that_are_promised() {
        let run =
            |seed, name: &str, recovery_s, violations| Ran { seed, name: name.to_owned(), recovery_s, violations };
        let ran = [
            run(1, "02 frozen", Some(1.0), vec![]),
            run(2, "02 frozen", Some(3.0), vec!["I3: wrong".to_owned()]),
            run(3, "pairs", None, vec![]),
        ];
        let report = Report::of(&ran, &[("15 upgrade".to_owned(), "no older binaries".to_owned())]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["runs"], &json["violations"]), (&3.into(), &1.into()));
        assert_eq!(json["seeds"], serde_json::json!([1, 2, 3]));
        let line = &json["faults"][0];
        assert_eq!((&line["name"], &line["runs"], &line["violations"]), (&"02 frozen".into(), &2.into(), &1.into()));
        assert_eq!((&line["recovery_p50_s"], &line["recovery_p95_s"]), (&1.0.into(), &3.0.into()));
        assert_eq!(json["faults"][1]["skipped"], "no older binaries");
        assert!(json["faults"][2]["recovery_p50_s"].is_null());
        let table = report.table();
        assert!(
            table.contains("| 02 frozen | 2 | 1.0 | 3.0 | 1 |") && table.contains("15 upgrade: no older"),
            "{table}"
        );
    }
}
