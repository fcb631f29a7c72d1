//! `cfx job pause|resume|cancel|retry`.

use super::Context;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use domain::JobId;
use wire::http::v1::{Job, Retried, Retry};

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

pub async fn retry(at: &Context, job: &str, reason: Option<&str>, dry_run: bool) -> Result<u8> {
    let id: JobId = job.parse()?;
    let reason = reason.map(str::parse).transpose().context("--reason")?;
    let answer: Retried = at.client.post(&format!("/v1/jobs/{id}/retry"), &Retry { reason, dry_run }).await?;
    if at.json {
        output::json(&answer)?;
    } else {
        let verb = if answer.dry_run { "would be" } else { "are" };
        output::line(format!("{} dead tasks {verb} tried again", answer.tasks));
    }
    Ok(exit::OK)
}
