//! What an installation tells of itself: metrics of coordinator and worker, the same figures by SQL, and probes. With `CFX_METRICS_TO`
//! the metrics are kept there, for `tests/observe`.

use anyhow::{Context as _, Result};
use domain::job_state::JobState;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stories::{Cluster, PATIENCE, faces, free_address};
use testkit::wait_until;

/// Samples of Prometheus's text by name and labels, as they are written.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// The sum of the samples of `name` whose labels have all of `labels`.
fn sum(samples: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    let of = |key: &str| key.split('{').next() == Some(name) && labels.iter().all(|label| key.contains(label));
    samples.iter().filter(|(key, _)| of(key)).map(|(_, value)| value).sum()
}

async fn get(address: &str) -> Result<(u16, String)> {
    let answer = reqwest::get(address).await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_sql_tell_the_same_and_a_worker_answers_probes() -> Result<()> {
    let mut cluster = Cluster::start(0).await?;
    cluster.dataset("faces", &faces(6)?).await?.expect_code(0);
    let id = cluster.submit(&crate::per_image("faces", 1)).await?;
    // nobody works yet: what waits is told by both
    let waits = "SELECT COALESCE(sum(ready + blocked), 0)::bigint FROM dash.queue_depth";
    cluster.until_count(waits, 12).await;
    wait_until("the gauges follow", PATIENCE, || async {
        let told = samples(&cluster.get("/metrics").await.ok()?);
        let [ready, blocked] = ["ready", "blocked"]
            .map(|state| sum(&told, "cfx_queue_tasks", &[r#"service="coordinator""#, &format!(r#"state="{state}""#)]));
        (ready + blocked == 12.0 && ready >= 6.0).then_some(())
    })
    .await;

    let address = free_address()?.to_string();
    let worker = cluster.add_worker_with(&[("CFX_METRICS_LISTEN", address.clone())])?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let page = |path: &str| format!("http://{address}{path}");
    assert_eq!(get(&page("/healthz")).await?, (200, "alive\n".to_owned()));
    assert_eq!(get(&page("/readyz")).await?, (200, "takes work\n".to_owned()));
    assert_eq!(get(&page("/v1/jobs")).await?.0, 404, "it is no interface");
    let of_worker = get(&page("/metrics")).await?.1;
    let told = samples(&of_worker);
    assert_eq!(sum(&told, "cfx_worker_tasks_total", &[r#"outcome="edited""#]), 6.0, "{of_worker}");
    assert_eq!(sum(&told, "cfx_sign_duration_seconds_count", &[]), 6.0);
    assert!(sum(&told, "cfx_worker_request_duration_seconds_sum", &[r#"request="edit""#]) > 0.0);
    for step in [r#"step="prepare""#, r#"step="encode""#, r#"step="record""#] {
        assert!(sum(&told, "cfx_worker_step_duration_seconds_count", &[step]) >= 6.0, "{step}: {of_worker}");
    }
    assert!(sum(&told, "cfx_s3_request_duration_seconds_count", &[r#"op="write""#, r#"outcome="ok""#]) >= 6.0);
    assert!(sum(&told, "cfx_worker_memory_bytes", &[r#"kind="resident""#]) > 1e7);

    let of_coordinator = wait_until("nothing waits any more", PATIENCE, || async {
        let text = cluster.get("/metrics").await.ok()?;
        let told = samples(&text);
        (sum(&told, "cfx_queue_tasks", &[]) == 0.0).then_some(text)
    })
    .await;
    let told = samples(&of_coordinator);
    assert_eq!(sum(&told, "cfx_outcomes_total", &[r#"kind="edited""#]), 6.0);
    assert_eq!(sum(&told, "cfx_jobs_ended_total", &[r#"state="succeeded""#]), 1.0);
    assert!(sum(&told, "cfx_http_request_duration_seconds_count", &[r#"route="/v1/jobs/{id}""#]) > 0.0);
    let minutes = "SELECT sum(succeeded)::bigint FROM dash.throughput_1m";
    cluster.until_count(minutes, 12).await;
    for process in [&of_worker, &of_coordinator] {
        assert!(process.contains("# HELP cfx_build_info"), "every metric says what it tells");
    }
    if let Some(to) = std::env::var_os("CFX_METRICS_TO").map(PathBuf::from) {
        std::fs::write(to.join("worker.prom"), &of_worker).context("the worker's metrics")?;
        std::fs::write(to.join("coordinator.prom"), &of_coordinator).context("the coordinator's metrics")?;
    }

    // a second one on the same address cannot listen, and says so
    let other = cluster.add_worker_with(&[("CFX_METRICS_LISTEN", address.clone())])?;
    wait_until("it ends", PATIENCE, || {
        let ended = cluster.workers[other].ended().ok().flatten();
        async move { ended }
    })
    .await;
    assert!(
        cluster.workers[other].output().contains("metrics cannot be answered on"),
        "{}",
        cluster.workers[other].output()
    );
    cluster.workers[worker].terminate()?;
    Ok(())
}
