//! `cfx result list`.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use domain::JobId;
use domain::record::Verdict;
use wire::http::v1::EditResult;

pub async fn run(at: &Context, job: &str, edit: Option<&str>, limit: u64) -> Result<u8> {
    let results = all(at, job, edit, limit).await?;
    if at.json {
        output::json(&results)?;
        return Ok(exit::OK);
    }
    let rows = results.iter().map(|r| {
        let verdict = match r.verdict {
            Some(Verdict::Accept) => "accept",
            Some(Verdict::Reject) => "reject",
            None => "-",
        };
        let preserved = r.metrics.get("preservation").map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
        let name = r.source_uri.rsplit('/').next().unwrap_or_default().to_owned();
        let strength = format!("{}", r.strength);
        vec![r.task.to_string(), r.edit.clone(), name, strength, verdict.to_owned(), preserved, r.image.to_string()]
    });
    let headings = ["TASK", "EDIT", "SOURCE", "STRENGTH", "VERDICT", "PRESERVED", "IMAGE"];
    output::table(&headings, &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}

/// A job's results, at most `limit` (0 for all).
pub async fn all(at: &Context, job: &str, edit: Option<&str>, limit: u64) -> Result<Vec<EditResult>> {
    let id: JobId = job.parse()?;
    let filter = edit.map_or_else(String::new, |e| format!("?edit={e}"));
    Ok(at.client.all(&format!("/v1/jobs/{id}/results{filter}"), limit).await?)
}
