//! `cfx job submit`.

use super::Context;
use crate::args::SubmitArgs;
use crate::{exit, job_file, like, output};
use anyhow::Result;
use wire::http::v1::Job;

pub async fn run(at: &Context, args: &SubmitArgs) -> Result<u8> {
    let base = match &args.like {
        Some(image) => like::fields(at, image, args.pack.is_some()).await?,
        None => serde_json::Map::new(),
    };
    let spec = job_file::job_from(args, base)?;
    // a fresh key per call still makes this call's own retries one job
    let key = args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    let job: Job = at.client.post_once("/v1/jobs", &spec, &key).await?;
    for warning in &job.warnings {
        output::note(format!("note: {warning}"));
    }
    if args.watch {
        output::note(format!("submitted {}", job.id));
        return super::job_watch::run(at, &job.id.to_string()).await;
    }
    if at.json {
        output::json(&job)?;
    } else {
        output::line(job.id.to_string());
        output::note(format!("follow it with: cfx job watch {}", job.id));
    }
    Ok(exit::OK)
}
