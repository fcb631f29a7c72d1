//! `cfx job status` and `cfx job tasks`.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use domain::{JobId, Stage, task_state::TASK_STATES};
use wire::http::v1::{Job, Task};

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
