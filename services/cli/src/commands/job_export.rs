//! `cfx job export`: a job's results as a dataset, in a folder or a bucket. Run again, it goes on where it was.

use super::Context;
use crate::args::ExportArgs;
use crate::export::{self, Plan, Report, Sink, Staging, Work};
use crate::{exit, output};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use wire::http::v1::Job;

pub async fn run(at: &Context, args: &ExportArgs) -> Result<u8> {
    let id: domain::JobId = args.job.parse()?;
    let job: Job = at.client.get(&format!("/v1/jobs/{id}")).await?;
    let plan = Plan::new(job, args)?;
    let sink = Sink::open(&args.to).await?;
    let earlier = export::report(&sink).await?;
    if let Some(earlier) = &earlier {
        plan.same_place(&earlier.identity, &sink)?;
        if earlier.identity == plan.identity {
            return told(at, &plan, &sink, earlier);
        }
    }
    let staging = Staging::open(sink.staging()?)?;
    let bar = if at.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} pairs, {eta} left")?);
    let work = Work { client: &at.client, plan: &plan, sink: &sink, staging: &staging, bar: &bar };
    let report = export::run(&work, earlier.is_some()).await?;
    bar.finish_and_clear();
    staging.remove()?;
    told(at, &plan, &sink, &report)
}

fn told(at: &Context, plan: &Plan, sink: &Sink, report: &Report) -> Result<u8> {
    let Report { pairs, failures, splits, files, .. } = report;
    if at.json {
        output::json(&serde_json::json!({
            "job": plan.job.id, "format": plan.format(), "to": sink.to_string(),
            "pairs": pairs, "failures": failures, "splits": splits, "files": files,
        }))?;
        return Ok(exit::OK);
    }
    let splits: Vec<String> = splits.iter().map(|(split, pairs)| format!("{split} {pairs}")).collect();
    let splits = if splits.is_empty() { "none".to_owned() } else { splits.join(", ") };
    output::line(format!("{pairs} pairs in {sink} ({splits}); {failures} failures in failures.jsonl"));
    Ok(exit::OK)
}
