//! What a user sets and sees: budgets, deadlines, single tasks, projects, back-pressure; and who did it.

use crate::per_image;
use anyhow::Result;
use domain::job_state::JobState;
use domain::{JobId, Stage};
use std::time::Duration;
use stories::{Cluster, faces};
use testkit::TestBroker;
use wire::http::v1::{AuditEntry, Job, Page, Project, Task};

fn stall(job: &Job) -> Option<&str> {
    job.progress.as_ref()?.stall.as_ref().map(|stall| stall.code.as_str())
}

fn with_workers(job: &Job) -> i64 {
    job.count(None, "running") + job.count(None, "dispatched")
}

/// A per-image job with limits, one batch at a time.
fn limited(steps: u32, limits: &str) -> String {
    let job = per_image("faces", steps);
    let (head, edits) = job.split_once("[[edits]]").unwrap_or((&job, ""));
    format!("{head}limits = {{ max_concurrent = 1{limits} }}\n[[edits]]{edits}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_stops_a_job_and_a_deadline_ends_it_with_what_it_has() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(12)?).await?.expect_code(0);
    let set = ["project", "set", "default", "--weight", "2", "--max-concurrent", "5", "--json"];
    let project: Project = cluster.cfx(set).await?.expect_code(0).json()?;
    assert_eq!((project.weight, project.max_concurrent), (2.0, Some(5)));
    cluster.cfx(["project", "set", "default", "--weight", "0"]).await?.expect_code(1);

    // the budget: enough for something, not for all
    let id = cluster.submit(&limited(5, ", budget_gpu_seconds = 0.3")).await?;
    let job =
        cluster.until(id, "the budget is spent", |job| stall(job) == Some("budget") && with_workers(job) == 0).await;
    assert_eq!(job.state, JobState::Active);
    assert!(job.count(Some(Stage::Edit), "succeeded") < 12, "{:?}", job.counts);
    let status = cluster.cfx(["job", "status", &id.to_string()]).await?.expect_code(0).stdout;
    assert!(status.contains("waits (budget)") && status.contains("0.3 GPU-seconds"), "{status}");
    let page = cluster.get(&format!("/jobs/{id}")).await?;
    assert!(page.contains("its budget of GPU time is spent"), "{page}");
    cluster.cfx(["job", "set", &id.to_string(), "--budget-gpu-seconds", "0"]).await?.expect_code(0);
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    let progress = job.progress.unwrap_or_else(|| panic!("one job is told with its progress"));
    assert!(progress.gpu_seconds_spent > 0.3, "{progress:?}");
    assert!(progress.stages.iter().all(|stage| stage.estimate_gpu_seconds.is_some()), "{progress:?}");

    // the deadline: of three batches one at a time, the first is finished and the rest is not begun
    let id = cluster.submit(&limited(30, "")).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(Stage::Edit), "running") > 0).await;
    cluster.cfx(["job", "set", &id.to_string(), "--deadline", "2026-01-01T00:00:00Z"]).await?.expect_code(0);
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Partial, "{:?}", job.counts);
    assert_eq!(job.count(Some(Stage::Edit), "succeeded") + job.count(Some(Stage::Edit), "cancelled"), 12);
    let tasks: Page<Task> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/tasks?state=cancelled")).await?)?;
    assert!(tasks.items.iter().all(|task| task.cancelled_for.as_deref() == Some("deadline")), "{tasks:?}");

    single_task(&cluster).await?;
    let log: Vec<AuditEntry> = cluster.cfx(["audit-log", "--json"]).await?.expect_code(0).json()?;
    for action in ["project.set", "job.limits", "job.deadline", "job.pause", "task.cancel", "job.resume"] {
        assert!(log.iter().any(|entry| entry.action == action), "{action} is missing in {log:?}");
    }
    cluster.assert_invariants().await
}

async fn single_task(cluster: &Cluster) -> Result<()> {
    let id: JobId = cluster.submit(&limited(30, "")).await?;
    let text = id.to_string();
    cluster.until(id, "it is written", |job| job.state == JobState::Active).await;
    cluster.cfx(["job", "pause", &text]).await?.expect_code(0);
    let ready: Page<Task> = serde_json::from_str(&cluster.get(&format!("/v1/jobs/{id}/tasks?state=ready")).await?)?;
    let task = ready.items.last().map(|task| task.id.to_string()).unwrap_or_default();
    cluster.cfx(["job", "cancel", &text, "--task", "1-1"]).await?.expect_code(1);
    cluster.cfx(["job", "cancel", &text, "--task", &task]).await?.expect_code(0);
    cluster.cfx(["job", "resume", &text]).await?.expect_code(0);
    let job = cluster.ended(id).await;
    assert_eq!((job.state, job.count(None, "cancelled")), (JobState::Partial, 1), "{:?}", job.counts);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_blocks_publishers_holds_hand_outs_back_and_the_job_says_so() -> Result<()> {
    let broker = TestBroker::start().await?;
    let cluster = Cluster::start_on(broker.url().to_owned(), None, 1).await?;
    cluster.dataset("faces", &faces(4)?).await?.expect_code(0);
    broker.alarm().await?;
    let id = cluster.submit(&per_image("faces", 5)).await?;
    let job = cluster.until(id, "it says that the broker blocks", |job| stall(job) == Some("broker_blocked")).await;
    assert_eq!(job.count(None, "succeeded"), 0);
    // what was handed out waits in the outbox, and no more of it than the window holds
    tokio::time::sleep(Duration::from_secs(3)).await;
    let waiting = cluster.sql_count("SELECT count(*) FROM outbox WHERE kind = 'work'").await?;
    assert!((1..=3).contains(&waiting), "{waiting} hand-outs wait");
    broker.calm().await?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.reasons);
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 4);
    cluster.assert_invariants().await
}
