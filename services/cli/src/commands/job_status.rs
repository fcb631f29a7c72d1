//! `cfx job status` and `cfx job tasks`.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use domain::Limits;
use domain::{JobId, Stage, task_state::TASK_STATES};
use wire::http::v1::{Eta, Job, Task};

pub async fn run(at: &Context, job: &str) -> Result<u8> {
    let id: JobId = job.parse()?;
    let job: Job = at.client.get(&format!("/v1/jobs/{id}")).await?;
    if at.json {
        output::json(&job)?;
    } else {
        print(&job);
    }
    Ok(exit::OK)
}

/// The job as a table: one row a stage, one column a state that occurs.
pub fn print(job: &Job) {
    output::line(format!("{}  {}  {}", job.id, job.state, job.spec.name));
    let states: Vec<_> = TASK_STATES.into_iter().filter(|s| job.count(None, s) > 0).collect();
    let headings: Vec<_> = std::iter::once("STAGE").chain(states.iter().copied()).collect();
    let stages = Stage::ALL.into_iter().filter(|s| job.counts.iter().any(|c| c.stage == *s && c.tasks > 0));
    let rows = stages.map(|stage| {
        let counts = states.iter().map(|state| job.count(Some(stage), state).to_string());
        std::iter::once(stage.to_string()).chain(counts).collect()
    });
    output::table(&headings, &rows.collect::<Vec<Vec<String>>>());
    progress(job);
    yields(job);
    for warning in &job.warnings {
        output::line(format!("note: {warning}"));
    }
    if job.memoised > 0 {
        output::line(format!("{} tasks were not run: their results were already there", job.memoised));
    }
    for reason in &job.reasons {
        output::line(format!("dead: {} x {}", reason.tasks, reason.reason));
    }
    if !job.reasons.is_empty() {
        output::line(format!("see them with: cfx job tasks {} --state dead", job.id));
    }
}

/// Rates, time left, GPU time, limits, and why the job stands still.
fn progress(job: &Job) {
    let Some(progress) = &job.progress else { return };
    if !job.state.is_terminal() {
        let rates = progress.stages.iter().filter(|s| s.done < s.total).filter_map(|s| Some((s.stage, s.per_minute?)));
        let rates: Vec<_> = rates.map(|(stage, rate)| format!("{stage} {rate:.1}/min")).collect();
        let left = progress.eta.map(|eta| format!("left {}", left(eta)));
        let parts: Vec<_> = rates.into_iter().chain(left).collect();
        if !parts.is_empty() {
            output::line(parts.join(", "));
        }
    }
    if let Some(stall) = &progress.stall {
        output::line(format!("waits ({}): {}{}", stall.code, stall.detail, until(stall.until)));
    }
    let saved = match progress.gpu_seconds_saved {
        saved if saved > 0.0 => format!(", {saved:.1} saved by earlier work"),
        _ => String::new(),
    };
    output::line(format!("{:.1} GPU-seconds{saved}", progress.gpu_seconds_spent));
    if !job.limits.is_none() {
        output::line(format!("limits: {}", limits(&job.limits)));
    }
}

fn until(at: Option<chrono::DateTime<chrono::Utc>>) -> String {
    at.map_or_else(String::new, |at| format!(" (until {})", at.format("%F %T UTC")))
}

fn limits(limits: &Limits) -> String {
    let parts = [
        limits.max_concurrent.map(|n| format!("{n} batches at once")),
        limits.budget_gpu_seconds.map(|s| format!("{s} GPU-seconds")),
        limits.tasks_per_minute.map(|n| format!("{n} tasks/min")),
        limits.deadline.map(|at| format!("until {}", at.format("%F %T UTC"))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The time left with its band: `12m (9m to 20m)`.
pub fn left(eta: Eta) -> String {
    format!("{} ({} to {})", span(eta.seconds), span(eta.low), span(eta.high))
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0}s"),
        s if s < 5400.0 => format!("{:.0}m", s / 60.0),
        s if s < 172_800.0 => format!("{:.1}h", s / 3600.0),
        s => format!("{:.1}d", s / 86_400.0),
    }
}

/// What came of each edit, as soon as there is an image.
fn yields(job: &Job) {
    if job.edits.iter().all(|edit| edit.succeeded == 0) {
        return;
    }
    let rows = job.edits.iter().map(|edit| {
        let reasons: Vec<_> = edit.reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let counts = [edit.succeeded, edit.accepted, edit.rejected, edit.unjudged].map(|n| n.to_string());
        [edit.edit.clone(), edit.method.clone()]
            .into_iter()
            .chain(counts)
            .chain([share(edit.accepted_yield), reasons.join(", ")])
            .collect()
    });
    let headings = ["EDIT", "METHOD", "IMAGES", "ACCEPTED", "REJECTED", "UNJUDGED", "YIELD", "REJECTED FOR"];
    output::table(&headings, &rows.collect::<Vec<Vec<String>>>());
}

/// A share in per cent, or a dash while there is none.
pub fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

pub async fn tasks(at: &Context, job: &str, state: Option<&str>) -> Result<u8> {
    let id: JobId = job.parse()?;
    let filter = state.map_or_else(String::new, |s| format!("?state={s}"));
    let tasks: Vec<Task> = at.client.all(&format!("/v1/jobs/{id}/tasks{filter}"), 0).await?;
    if at.json {
        output::json(&tasks)?;
        return Ok(exit::OK);
    }
    let rows = tasks.iter().map(|task| {
        let reason = task.reason.map(|r| r.to_string()).unwrap_or_default();
        let item = task.source.clone().or_else(|| task.edit.clone()).unwrap_or_default();
        let cells = [task.id.to_string(), task.stage.to_string(), task.state.clone(), reason, item];
        cells.into_iter().chain([task.detail.clone().unwrap_or_default()]).collect()
    });
    output::table(&["TASK", "STAGE", "STATE", "REASON", "ITEM", "DETAIL"], &rows.collect::<Vec<Vec<String>>>());
    Ok(exit::OK)
}
