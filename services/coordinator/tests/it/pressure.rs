//! Back-pressure and costs at dispatch, with loops stepped by hand.

use crate::support::{Bench, job};
use anyhow::Result;
use broker::ControlListener;
use coordinator::config;
use coordinator::dispatch::Dispatch;
use coordinator::enqueue::Enqueue;
use coordinator::relay::Relay;
use coordinator::sweep::{ProbeWorkers, Reconciler};
use domain::BootId;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{HeartbeatRow, WorkerState};
use wire::http::v1::{AuditEntry, Job, Page, Project};

fn worker() -> HeartbeatRow {
    HeartbeatRow {
        boot: BootId::from_uuid(uuid::Uuid::new_v4()),
        name: "double".into(),
        class: "cpu".into(),
        device: "none".into(),
        version: "0".into(),
        draining: false,
        running: vec![],
        images: 0,
        busy_ms: 0,
        waits_for: None,
        control_queue: None,
        memory_bytes: None,
        device_memory: None,
    }
}

async fn workers(bench: &Bench, n: usize) -> Result<()> {
    for _ in 0..n {
        bench.app.store.heartbeat(&worker()).await?;
    }
    Ok(())
}

async fn submitted(bench: &Bench) -> Result<Job> {
    let (status, answer) = bench.post("/v1/jobs", &job("pressed"), &[]).await?;
    anyhow::ensure!(status.is_success(), "{answer}");
    let enqueue = Enqueue::new(bench.app.clone());
    while enqueue.run_once().await? > 0 {}
    Ok(serde_json::from_value(answer)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_handed_out_while_the_outbox_is_full() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.dataset("faces", 200).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let id = submitted(&bench).await?.id;
    workers(&bench, 10).await?;
    let mut config = coordinator::config::Config::clone(&bench.app.config);
    config.tuning.outbox_bound = 5;
    bench.app.config = Arc::new(config);
    let dispatch = Dispatch { app: bench.app.clone() };
    let first = dispatch.run_once().await?;
    // a burst is at most four batches, and begins only below the bound
    assert!((5..=8).contains(&first), "{first} batches for a bound of 5");
    assert_eq!(dispatch.run_once().await?, 0);
    assert_eq!(bench.app.store.unsent(100).await?, first.cast_signed());
    // once the broker has taken them, the next ones go
    let relay = Relay { app: bench.app.clone() };
    testkit::wait_until("the outbox is empty", Duration::from_secs(30), || async {
        relay.run_once().await.ok()?;
        (bench.app.store.unsent(100).await.ok()? == 0).then_some(())
    })
    .await;
    assert!(dispatch.run_once().await? > 0);
    let job: Job = bench.read(&format!("/v1/jobs/{id}")).await?;
    let progress = job.progress.unwrap_or_else(|| panic!("one job is told with its progress"));
    assert!(progress.stages.iter().any(|stage| stage.running > 0), "{progress:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_its_connection_is_lost_long_before_its_silence_counts() -> Result<()> {
    let bench = Bench::new().await?;
    let app = &bench.app;
    let mut listeners: Vec<_> = (0..2).map(|_| ControlListener::new(config::broker(&app.config))).collect();
    for listener in &mut listeners {
        listener.ready().await;
        let queue = listener.queue().borrow().clone();
        let row = HeartbeatRow { control_queue: queue, ..worker() };
        app.store.heartbeat(&row).await?;
    }
    let probe = ProbeWorkers { app: app.clone(), settled: Duration::ZERO };
    let hasty = ProbeWorkers { app: app.clone(), settled: Duration::from_secs(3600) };
    testkit::wait_until("the publisher is connected", Duration::from_secs(30), || async {
        app.publisher.connected_for()
    })
    .await;
    assert_eq!(probe.run_once().await?, 0, "both are there");
    drop(listeners.pop());
    testkit::wait_until("the missing queue is noticed", Duration::from_secs(30), || async {
        assert_eq!(hasty.run_once().await.ok()?, 0, "right after connecting, a missing queue says nothing");
        (probe.run_once().await.ok()? == 1).then_some(())
    })
    .await;
    let policy = app.config.tuning.retries();
    app.store.lost_workers(Duration::from_secs(45), Duration::ZERO, 10, &policy).await?;
    let mut states: Vec<_> = app.store.workers().await?.into_iter().map(|row| row.state).collect();
    states.sort_by_key(|state| *state == WorkerState::Lost);
    assert_eq!(states, [WorkerState::Live, WorkerState::Lost]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_read_audited_and_refused_with_the_field() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 2).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let me = [("cfx-actor", "ada")];
    let change = json!({ "weight": 4.0, "quota_gpu_seconds_per_day": 3600.0, "max_concurrent": 7 });
    let (status, answer) = bench.post("/v1/projects/default", &change, &me).await?;
    assert_eq!((status.as_u16(), answer["quota_gpu_seconds_per_day"].as_f64()), (200, Some(3600.0)), "{answer}");
    let (_, answer) = bench.post("/v1/projects/default", &json!({ "quota_gpu_seconds_per_day": 0.0 }), &me).await?;
    assert_eq!((answer.get("quota_gpu_seconds_per_day"), answer["max_concurrent"].as_i64()), (None, Some(7)));
    let page: Page<Project> = bench.read("/v1/projects").await?;
    assert_eq!(page.items[0].weight, 4.0);

    let id = submitted(&bench).await?.id;
    let path = format!("/v1/jobs/{id}/limits");
    let (_, answer) = bench.post(&path, &json!({ "max_concurrent": 2, "priority": 3 }), &me).await?;
    assert_eq!(answer["limits"], json!({ "max_concurrent": 2 }), "{answer}");
    let (_, answer) = bench.post(&path, &json!({ "max_concurrent": 0 }), &me).await?;
    assert_eq!(answer.get("limits"), None);
    for (path, body, words) in [
        ("/v1/projects/default".to_owned(), json!({ "weight": 0.0 }), "weight"),
        ("/v1/projects/default".to_owned(), json!({ "tasks_per_minute": -1.0 }), "tasks_per_minute"),
        (path.clone(), json!({ "budget_gpu_seconds": -2.0 }), "budget_gpu_seconds"),
        (path.clone(), json!({ "deadline": "2030-01-01T00:00:00Z", "no_deadline": true }), "no_deadline"),
        (path.clone(), json!({ "deadlin": 1 }), "deadlin"),
        (format!("/v1/jobs/{id}/tasks/pause"), json!({ "tasks": [] }), "tasks"),
        (format!("/v1/jobs/{id}/tasks/resume"), json!({ "task": ["1-1"] }), "task"),
        (format!("/v1/jobs/{id}/tasks/cancel"), json!({ "tasks": [] }), "tasks"),
        (format!("/v1/jobs/{id}/tasks/cancel"), json!({ "tasks": ["999-1"] }), "999-1"),
    ] {
        let (status, answer) = bench.post(&path, &body, &me).await?;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(status.is_client_error() && detail.contains(words), "{path} {body}: {status} {answer}");
    }
    let job: Job = bench.read(&format!("/v1/jobs/{id}")).await?;
    let (first, tasks) = (format!("{}-0", job.seq), format!("/v1/jobs/{id}/tasks"));
    let one = json!({ "tasks": [first] });
    assert_eq!(bench.post(&format!("{tasks}/pause"), &one, &me).await?.1, json!({ "paused": 1, "held": 0 }));
    let job: Job = bench.read(&format!("/v1/jobs/{id}")).await?;
    assert_eq!(job.progress.iter().flat_map(|p| &p.stages).map(|stage| stage.paused).sum::<i64>(), 1);
    assert_eq!(job.count(None, "paused"), 1);
    let page: Value = bench.read(&format!("{tasks}?state=paused")).await?;
    assert_eq!(page["items"][0]["id"], json!(first), "{page}");
    assert_eq!(bench.post(&format!("{tasks}/resume"), &one, &me).await?.1, json!({ "resumed": 1 }));
    let log: Page<AuditEntry> = bench.read("/v1/audit").await?;
    let ada = log.items.iter().filter(|e| e.said.as_deref() == Some("ada"));
    let told: Vec<_> = ada.map(|e| (e.actor.as_str(), e.project.as_deref(), e.action.as_str())).collect();
    let asked = ["task.resume", "task.pause", "job.limits", "job.limits", "project.set", "project.set"];
    assert_eq!(told, asked.map(|action| ("local", Some("default"), action)), "a name that anybody may claim is a note");
    let (_, answer) = bench.post(&format!("/v1/jobs/{id}/cancel"), &json!({}), &me).await?;
    assert_eq!(answer["state"], "cancelled");
    let (status, _) = bench.post(&path, &json!({ "priority": 1 }), &me).await?;
    assert_eq!(status.as_u16(), 409);
    Ok(())
}
