//! A job's counts as one stacked bar.

use domain::Stage;
use std::collections::BTreeMap;
use wire::http::v1::{Count, Job};

/// The states shown as a segment, in the order they are stacked; what is left (blocked, ready) is the bar's ground.
const STACK: [&str; 7] = ["succeeded", "dead", "cancelled", "running", "dispatched", "retry_wait", "paused"];

/// One segment, in thousandths of the bar.
pub struct Part {
    /// The state, which is also the CSS class.
    pub state: &'static str,
    /// Where it begins.
    pub from: i64,
    /// How wide it is.
    pub width: i64,
    /// Tasks it stands for.
    pub tasks: i64,
}

/// How far a job is, over all its stages.
pub struct Progress {
    /// The segments.
    pub parts: Vec<Part>,
    /// All tasks.
    pub total: i64,
    counts: BTreeMap<String, i64>,
}

impl Progress {
    /// Adds up `job`'s counts.
    pub fn of(job: &Job) -> Self {
        Self::of_counts(&job.counts)
    }

    /// The same of counts as they are kept.
    pub fn of_store(rows: &[store::Count]) -> Self {
        Self::summed(rows.iter().map(|row| (row.phase.name().to_owned(), row.n)))
    }

    /// The same of one stage.
    pub fn of_stage(job: &Job, stage: Stage) -> Self {
        let rows = job.counts.iter().filter(|row| row.stage == stage);
        Self::summed(rows.map(|row| (row.state.clone(), row.tasks)))
    }

    fn of_counts(rows: &[Count]) -> Self {
        Self::summed(rows.iter().map(|row| (row.state.clone(), row.tasks)))
    }

    fn summed(rows: impl Iterator<Item = (String, i64)>) -> Self {
        let mut counts = BTreeMap::<String, i64>::new();
        for (state, tasks) in rows {
            *counts.entry(state).or_default() += tasks;
        }
        let total: i64 = counts.values().sum();
        let (mut parts, mut reached) = (Vec::new(), 0);
        for state in STACK {
            let tasks = counts.get(state).copied().unwrap_or(0);
            if tasks == 0 {
                continue;
            }
            // both ends are rounded from exact sums, so segments neither overlap nor leave gaps
            let from = reached * 1000 / total;
            reached += tasks;
            parts.push(Part { state, from, width: reached * 1000 / total - from, tasks });
        }
        Self { parts, total, counts }
    }

    /// Tasks in `state`.
    pub fn done(&self, state: &str) -> i64 {
        self.counts.get(state).copied().unwrap_or(0)
    }

    /// Whole per cent of tasks that have ended, never 100 before all have.
    pub fn percent(&self) -> i64 {
        let ended = self.done("succeeded") + self.done("dead") + self.done("cancelled");
        if self.total == 0 { 0 } else { ended * 100 / self.total }
    }

    /// The bar for those who do not see it.
    pub fn label(&self) -> String {
        format!("{} % of {} tasks ended", self.percent(), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_fill_the_bar_without_gaps() {
        let count = |state: &str, tasks| Count { stage: Stage::Edit, state: state.into(), tasks };
        let progress =
            Progress::of_counts(&[count("succeeded", 1), count("running", 1), count("dead", 1), count("ready", 0)]);
        let mut at = 0;
        for part in &progress.parts {
            assert_eq!(part.from, at);
            at += part.width;
        }
        assert_eq!((at, progress.percent(), progress.total), (1000, 66, 3));
    }
}
