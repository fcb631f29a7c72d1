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

/// A figure of the coordinator's metrics.
async fn metric(cluster: &Cluster, name: &str) -> Result<f64> {
    let text = cluster.get("/metrics").await?;
    let line = text.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
    Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0))
}

/// From the acknowledgement of a cancel (the job's end by the database's clock) until the worker's word that the work has left its
/// device is with the coordinator, over twenty and two cancels of running per-image edits.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_frees_the_device_within_a_step_and_the_time_is_published() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(4)?).await?.expect_code(0);
    let (count, sum) = ("cfx_cancel_to_idle_seconds_count", "cfx_cancel_to_idle_seconds_sum");
    let mut seconds = Vec::new();
    for _ in 0..22 {
        let (before, told) = (metric(&cluster, count).await?, metric(&cluster, sum).await?);
        let id = cluster.submit(&per_image("faces", 5000)).await?;
        cluster.until(id, "all edits run", |job| job.count(Some(domain::Stage::Edit), "running") == 4).await;
        // taken and staged; now let it take steps
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.cfx(["job", "cancel", &id.to_string()]).await?.expect_code(0);
        testkit::wait_until("the stop is told", Duration::from_secs(60), || async {
            (metric(&cluster, count).await.ok()? > before).then_some(())
        })
        .await;
        assert!((metric(&cluster, count).await? - before - 1.0).abs() < 0.5, "one batch, one measurement");
        seconds.push(metric(&cluster, sum).await? - told);
    }
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize];
    println!("cancel to idle over {}: p50 {:.3} s, p99 {:.3} s; {seconds:.3?}", seconds.len(), at(0.5), at(0.99));
    assert!(at(0.99) < 10.0, "{seconds:?}");
    assert_eq!(cluster.sql_count("SELECT count(*) FROM results").await?, 0);
    cluster.assert_invariants().await
}
