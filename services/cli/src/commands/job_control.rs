//! `cfx job pause|resume|cancel|set|retry`.

use super::Context;
use crate::args::LimitArgs;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use domain::{JobId, TaskId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::http::v1::{Job, NamedTasks, Retried, Retry, SetLimits, TasksCancelled, TasksPaused, TasksResumed};

pub async fn transition(at: &Context, job: &str, verb: &str) -> Result<u8> {
    let id: JobId = job.parse()?;
    let job: Job = at.client.post(&format!("/v1/jobs/{id}/{verb}"), &serde_json::json!({})).await?;
    if at.json {
        output::json(&job)?;
    } else {
        output::line(format!("{id} is {}", job.state));
    }
    Ok(exit::OK)
}

pub async fn cancel_tasks(at: &Context, job: &str, tasks: &[String]) -> Result<u8> {
    let told = |done: &TasksCancelled| {
        format!("{} tasks are cancelled, {} of them were with workers", done.cancelled, done.held)
    };
    name_tasks(at, job, tasks, "cancel", told).await
}

pub async fn pause_tasks(at: &Context, job: &str, tasks: &[String]) -> Result<u8> {
    let told = |done: &TasksPaused| match done.held {
        0 => format!("{} tasks are paused", done.paused),
        held => format!("{} tasks are paused, {held} more are with workers and finish", done.paused),
    };
    name_tasks(at, job, tasks, "pause", told).await
}

pub async fn resume_tasks(at: &Context, job: &str, tasks: &[String]) -> Result<u8> {
    name_tasks(at, job, tasks, "resume", |done: &TasksResumed| format!("{} tasks go on", done.resumed)).await
}

async fn name_tasks<T: Serialize + DeserializeOwned>(
    at: &Context,
    job: &str,
    tasks: &[String],
    verb: &str,
    told: impl Fn(&T) -> String,
) -> Result<u8> {
    let id: JobId = job.parse()?;
    let tasks = tasks.iter().map(|task| task.parse()).collect::<Result<Vec<TaskId>, _>>().context("--task")?;
    let answer: T = at.client.post(&format!("/v1/jobs/{id}/tasks/{verb}"), &NamedTasks { tasks }).await?;
    if at.json {
        output::json(&answer)?;
    } else {
        output::line(told(&answer));
    }
    Ok(exit::OK)
}

pub async fn set(at: &Context, job: &str, limits: &LimitArgs, no_deadline: bool, priority: Option<i16>) -> Result<u8> {
    let id: JobId = job.parse()?;
    let change = SetLimits {
        max_concurrent: limits.max_concurrent,
        budget_gpu_seconds: limits.budget_gpu_seconds,
        tasks_per_minute: limits.tasks_per_minute,
        deadline: limits.deadline,
        no_deadline,
        priority,
    };
    let job: Job = at.client.post(&format!("/v1/jobs/{id}/limits"), &change).await?;
    if at.json {
        output::json(&job)?;
    } else {
        super::job_status::print(&job);
    }
    Ok(exit::OK)
}

pub async fn retry(at: &Context, job: &str, reason: Option<&str>, dry_run: bool) -> Result<u8> {
    let id: JobId = job.parse()?;
    let reason = reason.map(str::parse).transpose().context("--reason")?;
    let answer: Retried = at.client.post(&format!("/v1/jobs/{id}/retry"), &Retry { reason, dry_run }).await?;
    if at.json {
        output::json(&answer)?;
    } else {
        let verb = if answer.dry_run { "would be" } else { "are" };
        let rows = answer.reasons.iter().map(|count| vec![count.reason.to_string(), count.tasks.to_string()]);
        if !answer.reasons.is_empty() {
            output::table(&["REASON", "TASKS"], &rows.collect::<Vec<_>>());
        }
        output::line(format!("{} dead tasks {verb} tried again", answer.tasks));
    }
    Ok(exit::OK)
}
