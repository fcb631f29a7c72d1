//! `cfx result list`.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use domain::JobId;
use domain::accept::metric;
use domain::record::Verdict;
use wire::http::v1::EditResult;

/// Which results; all when empty.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Only this edit.
    pub edit: Option<String>,
    /// Only this verdict.
    pub verdict: Option<String>,
    /// Only those rejected for this.
    pub reason: Option<String>,
}

pub async fn run(at: &Context, job: &str, wanted: &Wanted, limit: u64) -> Result<u8> {
    let results = all(at, job, wanted, limit).await?;
    if at.json {
        output::json(&results)?;
        return Ok(exit::OK);
    }
    let rows = results.iter().map(|r| {
        let verdict = match r.verdict {
            Some(Verdict::Accept) => "accepted",
            Some(Verdict::Reject) => "rejected",
            None => "unjudged",
        };
        let why: Vec<_> = r.rejected_for.iter().map(|reason| reason.name()).collect();
        let why = if why.is_empty() { "-".to_owned() } else { why.join(",") };
        let preserved = r.metrics.get(metric::PRESERVATION).map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
        let name = r.source_uri.rsplit('/').next().unwrap_or_default().to_owned();
        let (task, image) = (r.task.to_string(), r.image.to_string());
        vec![task, r.edit.clone(), name, r.strength.to_string(), verdict.to_owned(), why, preserved, image]
    });
    let headings = ["TASK", "EDIT", "SOURCE", "STRENGTH", "VERDICT", "REJECTED FOR", "PRESERVED", "IMAGE"];
    output::table(&headings, &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}

/// A job's results, at most `limit` (0 for all).
pub async fn all(at: &Context, job: &str, wanted: &Wanted, limit: u64) -> Result<Vec<EditResult>> {
    let id: JobId = job.parse()?;
    let given = [("edit", &wanted.edit), ("verdict", &wanted.verdict), ("reason", &wanted.reason)];
    let given: Vec<_> =
        given.iter().filter_map(|(name, value)| value.as_ref().map(|v| format!("{name}={v}"))).collect();
    let mark = if given.is_empty() { "" } else { "?" };
    Ok(at.client.all(&format!("/v1/jobs/{id}/results{mark}{}", given.join("&")), limit).await?)
}
