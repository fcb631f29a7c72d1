//! Workers vanish: killed, frozen, told to go. The job ends all the same, with one result a task.

use crate::per_image;
use anyhow::Result;
use domain::job_state::JobState;
use std::time::Duration;
use stories::{Cluster, faces};

/// Steps that keep a batch of four busy for several seconds.
const LONG: u32 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_middle_of_a_batch_costs_only_time() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(12)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", LONG)).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(domain::Stage::Edit), "running") > 0).await;
    cluster.workers[0].kill()?;
    cluster.add_worker()?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.reasons);
    assert!(cluster.sql_count("SELECT count(*) FROM tasks WHERE losses > 0").await? > 0, "the loss was noticed");
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 12);
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_that_wakes_up_changes_nothing() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(4)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", LONG)).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(domain::Stage::Edit), "running") > 0).await;
    cluster.workers[0].freeze()?;
    cluster.add_worker()?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    let before = cluster.sql_count("SELECT sum(epoch)::bigint FROM results").await?;
    cluster.workers[0].thaw()?;
    // the zombie finishes its batch and reports it; it has been heard when it is alive again and holds nothing
    testkit::wait_until("the zombie is idle again", stories::PATIENCE, || async {
        let workers = cluster.seen_workers().await.ok()?;
        (workers.iter().filter(|w| w.state == "live" && w.running == 0).count() == 2).then_some(())
    })
    .await;
    assert_eq!(cluster.sql_count("SELECT sum(epoch)::bigint FROM results").await?, before);
    assert_eq!(cluster.sql_count("SELECT count(*) FROM results").await?, 4);
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_go_gives_its_work_back_without_burning_an_attempt() -> Result<()> {
    let mut cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(12)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", LONG)).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(domain::Stage::Edit), "running") > 0).await;
    cluster.workers[0].terminate()?;
    let status = cluster.workers[0].wait(Duration::from_secs(60)).await;
    assert!(status.success(), "{status}");
    cluster.add_worker()?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(cluster.sql_count("SELECT count(*) FROM tasks WHERE losses > 0 OR attempts > 0").await?, 0);
    cluster.assert_invariants().await
}
