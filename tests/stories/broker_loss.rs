//! The broker is disposable: restarted or wiped in the middle of a job, nothing is lost (I11).

use crate::per_image;
use anyhow::Result;
use domain::job_state::JobState;
use std::time::Duration;
use stories::{Cluster, faces};
use testkit::TestBroker;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_a_restart_of_the_broker() -> Result<()> {
    let broker = TestBroker::start().await?;
    let cluster = Cluster::start_on(broker.url().to_owned(), None, 1).await?;
    cluster.dataset("faces", &faces(16)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", 20)).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(domain::Stage::Edit), "running") > 0).await;
    broker.stop().await?;
    // people are still answered, and a job is still accepted: only hand-outs wait
    let away = || async { cluster.get("/readyz").await.ok()?.contains("RabbitMQ is away").then_some(()) };
    testkit::wait_until("the coordinator misses the broker", Duration::from_secs(30), away).await;
    assert!(cluster.get("/").await?.contains("<h1>"));
    assert!(cluster.cfx(["health"]).await?.expect_code(0).stdout.contains("RabbitMQ is away"));
    assert!(cluster.cfx(["doctor"]).await?.expect_code(1).stdout.contains("FAIL coordinator  RabbitMQ is away"));
    let meanwhile = cluster.submit(&per_image("faces", 1)).await?;
    broker.start_again().await?;
    assert_eq!(cluster.ended(meanwhile).await.state, JobState::Succeeded);
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.reasons);
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 16);
    cluster.assert_invariants().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_the_loss_of_everything_the_broker_held() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(16)?).await?.expect_code(0);
    let id = cluster.submit(&per_image("faces", 20)).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(domain::Stage::Edit), "running") > 0).await;
    cluster.vhost.as_ref().expect("the story has a vhost of its own").wipe().await?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{:?}", job.reasons);
    assert_eq!(cluster.fetch_and_verify(id).await?.len(), 16);
    cluster.assert_invariants().await
}
