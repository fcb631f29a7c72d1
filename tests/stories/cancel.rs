//! Cancel stops running work, and nothing is committed afterwards (I8).

use crate::per_image;
use anyhow::Result;
use domain::job_state::JobState;
use std::time::{Duration, Instant};
use stories::{Cluster, faces};

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_running_work_and_the_worker_goes_on_with_the_next_job() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(8)?).await?.expect_code(0);
    // minutes of work, if nobody stopped it
    let id = cluster.submit(&per_image("faces", 5000)).await?;
    cluster.until(id, "an edit runs", |job| job.count(Some(domain::Stage::Edit), "running") > 0).await;
    let asked = Instant::now();
    cluster.cfx(["job", "cancel", &id.to_string()]).await?.expect_code(0);
    let results = cluster.sql_count("SELECT count(*) FROM results").await?;
    let job = cluster.ended(id).await;
    assert_eq!(job.state, JobState::Cancelled);
    testkit::wait_until("the worker is idle", Duration::from_secs(20), || async {
        let workers = cluster.seen_workers().await.ok()?;
        workers.iter().all(|w| w.running == 0).then_some(())
    })
    .await;
    println!("from cancel to idle, as the coordinator sees it: {:?}", asked.elapsed());

    let next = cluster.submit(&per_image("faces", 2)).await?;
    assert_eq!(cluster.ended(next).await.state, JobState::Succeeded);
    assert_eq!(
        cluster.sql_count("SELECT count(*) FROM results").await?,
        results + 8,
        "nothing of the cancelled job came later"
    );
    cluster.assert_invariants().await
}
