//! Whether sizes are flat, and whether two projects share as their weights say.

use super::load::PROJECTS;
use super::sample::Sample;
use crate::history::Installation;
use anyhow::Result;
use serde::Serialize;

/// What may grow, and by how much in an hour: the larger of a share of what is there and a number.
struct Bound {
    /// Names begin with this.
    prefix: &'static str,
    /// Share of the median.
    share: f64,
    /// In the unit of the series.
    least: f64,
    /// Why so much.
    why: &'static str,
}

/// Some 70,000 tasks pass in an hour: what is left behind for each of them exceeds these by far.
const BOUNDS: [Bound; 20] = [
    Bound {
        prefix: "memory_mib.coordinator 0",
        share: 0.0,
        least: 8.0,
        why: "120 bytes for each task; less is the allocator's",
    },
    Bound {
        prefix: "memory_mib.worker 0",
        share: 0.0,
        least: 8.0,
        why: "it does a third of the tasks: 350 bytes for each; less is the allocator's",
    },
    Bound { prefix: "open_files.coordinator 0", share: 0.0, least: 4.0, why: "pools open and close some" },
    Bound { prefix: "open_files.worker 0", share: 0.0, least: 4.0, why: "pools open and close some" },
    Bound {
        prefix: "connections.postgres",
        share: 0.0,
        least: 6.0,
        why: "pools of two coordinators open and close some",
    },
    Bound { prefix: "connections.rabbitmq", share: 0.0, least: 2.0, why: "each process has a fixed number" },
    Bound { prefix: "channels.rabbitmq", share: 0.0, least: 2.0, why: "each process has a fixed number" },
    Bound { prefix: "queues.all", share: 0.0, least: 1.0, why: "a worker that is gone takes its own with it" },
    Bound {
        prefix: "messages.cfx.dead",
        share: 0.0,
        least: 0.5,
        why: "only malformed messages come here, and nobody sends any",
    },
    Bound { prefix: "messages.", share: 0.0, least: 20.0, why: "the window bounds what is under way" },
    Bound { prefix: "rows.tasks", share: 0.0, least: 8000.0, why: "one partition more or less: 64 jobs of 121 tasks" },
    Bound { prefix: "partitions.tasks", share: 0.0, least: 1.0, why: "one more or less" },
    Bound { prefix: "rows.attempts", share: 0.2, least: 100.0, why: "two minutes of what faults took back, by chance" },
    Bound { prefix: "rows.batches", share: 0.1, least: 200.0, why: "two to three minutes of them" },
    Bound { prefix: "rows.workers", share: 0.2, least: 4.0, why: "two minutes of what faults killed, by chance" },
    Bound { prefix: "rows.", share: 0.1, least: 100.0, why: "folded or published within seconds" },
    Bound {
        prefix: "dead_rows.",
        share: 0.2,
        least: 4000.0,
        why: "autovacuum comes at a thousand or two thousand dead rows, once a minute",
    },
    Bound { prefix: "table_kib.tasks", share: 0.0, least: 6000.0, why: "one partition more or less" },
    Bound { prefix: "table_kib.outbox", share: 0.1, least: 1024.0, why: "its pages are used again" },
    Bound { prefix: "table_kib.", share: 0.1, least: 1024.0, why: "its pages are used again" },
];

/// Pools: they open what is needed up to a limit, and faults close all of it at once, so that the half hour after such a fault slopes
/// upwards. Growth is what exceeds all that was there before.
const POOLED: [&str; 2] = ["open_files.", "connections.postgres"];

/// Kept for ever on purpose: results with their records, what was asked for and what came of it.
const KEPT: [&str; 10] = [
    "results",
    "records",
    "stage_artifacts",
    "jobs",
    "job_edits",
    "job_rollups",
    "edit_rollups",
    "job_rates",
    "audit_log",
    "sources",
];

/// One series, judged over the second half of the samples.
#[derive(Serialize, Clone, Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its first value, its median over the second half, and its last value.
    pub first: f64,
    /// See `first`.
    pub median: f64,
    /// See `first`.
    pub last: f64,
    /// Growth an hour: the median of the slopes between any two samples of the second half, so that no single spike decides.
    pub per_hour: f64,
    /// What it may be.
    pub bound: f64,
    /// Why so much.
    pub why: &'static str,
    /// Whether it is within.
    pub flat: bool,
}

/// What is kept for ever, and what it takes.
#[derive(Serialize, Clone, Debug)]
pub struct Kept {
    /// The table.
    pub name: String,
    /// KiB at the end.
    pub kib: f64,
    /// Bytes for each task that succeeded, over the second half.
    pub bytes_per_task: f64,
}

/// All series that have a bound.
pub fn series(samples: &[Sample]) -> Vec<Series> {
    let mut names: Vec<&String> = samples.iter().flat_map(|sample| sample.values.keys()).collect();
    names.sort();
    names.dedup();
    let kept = |name: &str| name.split_once('.').is_some_and(|(_, table)| KEPT.contains(&table));
    names.into_iter().filter(|name| !kept(name)).filter_map(|name| one(samples, name)).collect()
}

fn one(samples: &[Sample], name: &str) -> Option<Series> {
    let bound = BOUNDS.iter().find(|bound| name.starts_with(bound.prefix))?;
    let all = values(samples, name);
    let half = second_half(&all);
    let mut sorted: Vec<f64> = half.iter().map(|(_, value)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    let median = *sorted.get(sorted.len() / 2)?;
    let (per_hour, most) = (3600.0 * slope(half), (bound.share * median).max(bound.least));
    Some(Series {
        name: name.to_owned(),
        first: all.first()?.1,
        median,
        last: all.last()?.1,
        per_hour,
        bound: most,
        why: bound.why,
        flat: per_hour <= most || (POOLED.iter().any(|pool| name.starts_with(pool)) && !exceeds(&all, bound.least)),
    })
}

/// What is kept for ever.
pub fn kept(samples: &[Sample]) -> Vec<Kept> {
    let done = values(samples, "done.tasks");
    let tasks = grown(second_half(&done));
    let of = |name: &&str| {
        let all = values(samples, &format!("table_kib.{name}"));
        let bytes_per_task = 1024.0 * grown(second_half(&all)) / tasks.max(1.0);
        Some(Kept { name: (*name).to_owned(), kib: all.last()?.1, bytes_per_task })
    };
    KEPT.iter().filter_map(of).collect()
}

fn values(samples: &[Sample], name: &str) -> Vec<(f64, f64)> {
    samples.iter().filter_map(|sample| Some((sample.at, *sample.values.get(name)?))).collect()
}

fn second_half(values: &[(f64, f64)]) -> &[(f64, f64)] {
    &values[values.len() / 2..]
}

/// Whether the second half has a value above the highest of the first by more than `bound`.
fn exceeds(values: &[(f64, f64)], bound: f64) -> bool {
    let highest = |half: &[(f64, f64)]| half.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let (before, after) = values.split_at(values.len() / 2);
    highest(after) > highest(before) + bound
}

fn grown(values: &[(f64, f64)]) -> f64 {
    match (values.first(), values.last()) {
        (Some(first), Some(last)) => last.1 - first.1,
        _ => 0.0,
    }
}

/// The median of the slopes between any two points (Theil and Sen).
fn slope(points: &[(f64, f64)]) -> f64 {
    let mut slopes: Vec<f64> = Vec::new();
    for (place, (at, value)) in points.iter().enumerate() {
        let later = points[place + 1..].iter().filter(|(then, _)| then > at);
        slopes.extend(later.map(|(then, there)| (there - value) / (then - at)));
    }
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// How GPU time was shared over one window.
#[derive(Serialize, Clone, Copy, Debug)]
pub struct Shares {
    /// Windows in which every project had work at every sample.
    pub windows: usize,
    /// Seconds of one.
    pub window_s: f64,
    /// Windows with so little done, on a machine that others used, that a few batches more or less decide: not looked at.
    pub idle: usize,
    /// The smallest part of what its weight gives it that a project got in any of them: I9 asks for 0.8.
    pub worst: Option<f64>,
}

/// What was done: when (seconds since 1970), for which of [`PROJECTS`], and its GPU time.
///
/// # Errors
/// When the database does not answer.
pub async fn served(at: &impl Installation) -> Result<Vec<(f64, usize, f64)>> {
    let sql = "SELECT extract(epoch FROM d.at)::float8, p.name, d.gpu_ms FROM (
            SELECT job_seq, created_at AS at, gpu_ms FROM results
            UNION ALL SELECT producer_job, done_at, gpu_ms FROM stage_artifacts WHERE state = 'done') AS d
        JOIN jobs j ON j.seq = d.job_seq JOIN projects p ON p.id = j.project";
    let rows: Vec<(f64, String, f64)> = sqlx::query_as(sql).fetch_all(at.pool()).await?;
    let place = |name: &str| PROJECTS.iter().position(|(project, _)| *project == name);
    Ok(rows.iter().filter_map(|(at, name, gpu_ms)| Some((*at, place(name)?, *gpu_ms))).collect())
}

/// Shares over all windows of `window_s` that begin at a sample and in which all had work. `served` is what was done: when, for
/// which of the projects, and its GPU time; a window with less than `least_ms` of it is not looked at.
pub fn shares(
    samples: &[Sample],
    served: &[(f64, usize, f64)],
    weights: &[f64],
    (window_s, least_ms): (f64, f64),
) -> Shares {
    let (all, mut worst, mut windows, mut idle) = (weights.iter().sum::<f64>(), None, 0, 0);
    for first in samples {
        let (from, to) = (first.at, first.at + window_s);
        let within: Vec<&Sample> = samples.iter().filter(|sample| sample.at >= from && sample.at <= to).collect();
        let covered = samples.last().is_some_and(|last| last.at >= to);
        // a sample that could not be taken says nothing; one that shows a project without work ends the claim
        let asked: Vec<bool> = within.iter().filter_map(|sample| sample.backlogged).collect();
        if !covered || 2 * asked.len() < within.len() || asked.contains(&false) {
            continue;
        }
        let mut got = vec![0.0; weights.len()];
        for (_, project, time) in served.iter().filter(|(at, ..)| *at >= from && *at < to) {
            got[*project] += time;
        }
        let sum: f64 = got.iter().sum();
        if sum < least_ms {
            idle += 1;
            continue;
        }
        windows += 1;
        for (got, weight) in got.iter().zip(weights) {
            let part = (got / sum) / (weight / all);
            worst = Some(worst.map_or(part, |worst: f64| worst.min(part)));
        }
    }
    Shares { windows, window_s, idle, worst }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn samples(name: &str, values: impl IntoIterator<Item = f64>) -> Vec<Sample> {
        let sample = |(place, value): (usize, f64)| Sample {
            at: place as f64 * 15.0,
            values: BTreeMap::from([(name.to_owned(), value)]),
            backlogged: Some(true),
        };
        values.into_iter().enumerate().map(sample).collect()
    }

    #[test]
    fn a_leak_is_seen_and_a_spike_is_not_one() {
        let leak = series(&samples("memory_mib.worker 0", (0..200).map(|n| 80.0 + f64::from(n) * 0.05)));
        assert!(!leak[0].flat && (leak[0].per_hour - 12.0).abs() < 0.1, "{leak:?}");
        let spike = series(&samples("rows.outbox", (0..200).map(|n| if n == 190 { 5000.0 } else { 3.0 })));
        assert!(spike[0].flat, "{spike:?}");
        let saw = series(&samples("rows.tasks", (0..240).map(|n| f64::from(n % 26) * 600.0)));
        assert!(saw[0].flat, "{saw:?}");
        let grows = series(&samples("rows.workers", (0..200).map(f64::from)));
        assert!(!grows[0].flat, "{grows:?}");
        assert!(series(&samples("table_kib.results", [1.0, 2.0])).is_empty(), "it is kept on purpose");
    }

    #[test]
    fn shares_are_held_against_weights_where_both_had_work() {
        let mut all = samples("x", std::iter::repeat_n(0.0, 41));
        let fair: Vec<(f64, usize, f64)> = (0..600).map(|at| (f64::from(at), usize::from(at % 4 != 0), 1.0)).collect();
        let told = shares(&all, &fair, &[1.0, 3.0], (300.0, 10.0));
        assert!(told.windows == 21 && told.worst.is_some_and(|worst| worst > 0.97), "{told:?}");
        let greedy: Vec<(f64, usize, f64)> =
            (0..600).map(|at| (f64::from(at), usize::from(at % 2 == 0), 1.0)).collect();
        let told = shares(&all, &greedy, &[1.0, 3.0], (300.0, 10.0));
        assert!(told.worst.is_some_and(|worst| (worst - 2.0 / 3.0).abs() < 0.01), "{told:?}");
        all[20].backlogged = Some(false);
        assert_eq!(shares(&all, &greedy, &[1.0, 3.0], (300.0, 10.0)).windows, 0, "one project had nothing to do");
    }
}
