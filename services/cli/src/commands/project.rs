//! `cfx project list|set`.

use super::Context;
use crate::args::ProjectSetArgs;
use crate::{exit, output};
use anyhow::Result;
use wire::http::v1::{Page, Project, SetProject};

pub async fn list(at: &Context) -> Result<u8> {
    let page: Page<Project> = at.client.get("/v1/projects").await?;
    if at.json {
        output::json(&page.items)?;
    } else {
        print(&page.items);
    }
    Ok(exit::OK)
}

pub async fn set(at: &Context, args: &ProjectSetArgs) -> Result<u8> {
    let change = SetProject {
        weight: args.weight,
        quota_gpu_seconds_per_day: args.quota_gpu_seconds_per_day,
        max_concurrent: args.max_concurrent,
        tasks_per_minute: args.tasks_per_minute,
    };
    let project: Project = at.client.post(&format!("/v1/projects/{}", args.name), &change).await?;
    if at.json {
        output::json(&project)?;
    } else {
        print(&[project]);
    }
    Ok(exit::OK)
}

fn print(projects: &[Project]) {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let rows = projects.iter().map(|p| {
        vec![
            p.name.clone(),
            p.weight.to_string(),
            format!("{:.1}", p.used_gpu_seconds),
            or_dash(p.quota_gpu_seconds_per_day.map(|s| s.to_string())),
            or_dash(p.max_concurrent.map(|n| n.to_string())),
            or_dash(p.tasks_per_minute.map(|n| n.to_string())),
        ]
    });
    let headings = ["PROJECT", "WEIGHT", "GPU-S IN 24 H", "QUOTA", "BATCHES AT ONCE", "TASKS/MIN"];
    output::table(&headings, &rows.collect::<Vec<_>>());
}
