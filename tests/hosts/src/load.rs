//! The work: two projects that always have some, and what of it was done when.

use crate::fleet::Fleet;
use anyhow::Result;
use faults::api::Body;
use faults::history::{self, Installation as _, Snapshots};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Projects and their weights.
pub const PROJECTS: [(&str, f64); 2] = [("light", 1.0), ("heavy", 3.0)];
/// A project with fewer unfinished tasks than this submits another job: more than is done in the longest story.
const LOW: i64 = 1600;
/// Images of every source in a job.
const SEEDS: u64 = 10;

/// What was done in a span of time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Done {
    /// Images and latents a second.
    pub per_second: f64,
    /// What the heavier project got of all device time, 0 to 1; none if nothing was done.
    pub heavy_share: Option<f64>,
}

/// What the heavier project is to get.
pub fn heavy_part() -> f64 {
    PROJECTS[1].1 / (PROJECTS[0].1 + PROJECTS[1].1)
}

/// Makes the projects with their datasets, and lets the installation learn what such work costs: until then it shares by guesses.
///
/// # Errors
/// When no coordinator takes them, or the first jobs do not end.
pub async fn prepare(fleet: &Fleet) -> Result<()> {
    for (name, weight) in PROJECTS {
        let path = format!("/v1/projects/{name}");
        fleet.api.send(Method::POST, &path, Body::Json(json!({ "weight": weight }))).await?;
        fleet.api.datasets(name).await?;
    }
    let (_, seq) = fleet.api.submit_spec(PROJECTS[0].0, spec("learnt", 1, 1)).await?;
    anyhow::ensure!(history::until_ended(fleet, seq, Duration::from_secs(60)).await, "the first job stands still");
    Ok(())
}

/// Submits where little is left. A database that is away is asked the next time.
///
/// # Errors
/// When a job is refused, or no coordinator takes it within two minutes.
pub async fn keep_up(fleet: &Fleet) -> Result<()> {
    let sql = "SELECT count(*) FROM projects p JOIN jobs j ON j.project = p.id JOIN tasks t ON t.job_seq = j.seq
        WHERE p.name = $1 AND j.state IN ('accepting', 'active') AND t.state IN ('blocked', 'ready')";
    for (project, _) in PROJECTS {
        let Ok(left) = sqlx::query_scalar::<_, i64>(sql).bind(project).fetch_one(fleet.pool()).await else { continue };
        if left < LOW {
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs").fetch_one(fleet.pool()).await.unwrap_or(0);
            let first = 1000 * (count.unsigned_abs() + 1);
            fleet.api.submit_spec(project, spec(project, first, SEEDS)).await?;
        }
    }
    Ok(())
}

/// A job whose seeds, of the inversion too, begin with `first`: nothing of it is known from another job.
fn spec(name: &str, first: u64, seeds: u64) -> Value {
    json!({
        "name": format!("{name} {first}"),
        "dataset": "small",
        "pack": "facesjs-64",
        "edits": [
            { "text": "a face with green hair", "method": { "kind": "clip-nce", "steps": 1 } },
            { "text": "a face with blue skin", "method": { "kind": "clip-nce", "steps": 1 } },
        ],
        "seeds": (first..first + seeds).collect::<Vec<_>>(),
        "inversion": { "kind": "optimise", "seed": first },
    })
}

/// What was done between two moments of this process's clock.
///
/// # Errors
/// When the database does not answer.
pub async fn done(fleet: &Fleet, from: Instant, to: Instant) -> Result<Done> {
    let ago = |at: Instant| at.elapsed().as_secs_f64();
    let sql = "SELECT p.name, count(*), COALESCE(sum(d.gpu_ms), 0)::float8 FROM (
            SELECT job_seq, created_at AS at, gpu_ms FROM results
            UNION ALL SELECT producer_job, done_at, gpu_ms FROM stage_artifacts WHERE state = 'done') AS d
        JOIN jobs j ON j.seq = d.job_seq JOIN projects p ON p.id = j.project
        WHERE d.at >= now() - make_interval(secs => $1) AND d.at < now() - make_interval(secs => $2) GROUP BY p.name";
    let rows: Vec<(String, i64, f64)> =
        sqlx::query_as(sql).bind(ago(from)).bind(ago(to)).fetch_all(fleet.pool()).await?;
    let (count, all): (i64, f64) = rows.iter().fold((0, 0.0), |(n, ms), row| (n + row.1, ms + row.2));
    let heavy: f64 = rows.iter().filter(|row| row.0 == PROJECTS[1].0).map(|row| row.2).sum();
    // safe to widen: a count of images
    let per_second = count as f64 / to.duration_since(from).as_secs_f64();
    Ok(Done { per_second, heavy_share: (all > 0.0).then(|| heavy / all) })
}

/// Waits until all jobs have ended, and holds each against the invariants; what does not hold.
///
/// # Errors
/// When the database does not answer.
pub async fn settle(fleet: &Fleet, patience: Duration) -> Result<Vec<String>> {
    let jobs: Vec<i64> = sqlx::query_scalar("SELECT seq FROM jobs ORDER BY seq").fetch_all(fleet.pool()).await?;
    let mut found = Vec::new();
    for seq in jobs {
        if !history::until_ended(fleet, seq, patience).await {
            found.push(format!("job {seq} stands still"));
            continue;
        }
        let violations = history::violations(fleet, seq, &Snapshots::default()).await?;
        found.extend(violations.into_iter().map(|what| format!("job {seq}: {what}")));
    }
    Ok(found)
}
