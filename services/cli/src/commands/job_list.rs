//! `cfx job list`.

use super::Context;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use domain::job_state::JobState;
use wire::http::v1::Job;

pub async fn run(at: &Context, state: Option<&str>, limit: u32) -> Result<u8> {
    let state = state.map(str::parse::<JobState>).transpose().context("--state")?;
    let path = state.map_or_else(|| "/v1/jobs".to_owned(), |s| format!("/v1/jobs?state={s}"));
    let jobs: Vec<Job> = at.client.all(&path, limit.into()).await?;
    if at.json {
        output::json(&jobs)?;
        return Ok(exit::OK);
    }
    let rows = jobs.iter().map(|job| {
        let done = format!("{}/{}", job.count(None, "succeeded"), job.total());
        let dead = job.count(None, "dead").to_string();
        vec![job.id.to_string(), job.state.to_string(), done, dead, job.spec.name.clone()]
    });
    output::table(&["JOB", "STATE", "DONE", "DEAD", "NAME"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}
