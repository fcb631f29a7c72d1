//! A fleet of the size that the capacity plan speaks of (`deploy/OPERATIONS.md`): a thousand workers at the pace of GPUs, each with its
//! own connection, against one coordinator.

use crate::rig::Rig;
use crate::simulated::Simulated;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::processor_seconds;

/// What an image takes: an optimisation of a 1024 px image in batches takes a large GPU about that long.
const PACE: Duration = Duration::from_secs(2);
/// Until every worker is connected and has work.
const WARM_UP: Duration = Duration::from_secs(25);
const WINDOW: Duration = Duration::from_secs(30);

/// Tasks a second, the part of all workers' time that is used, and what the coordinator takes for it.
///
/// # Errors
/// When the installation does not answer, or nobody gets work.
pub async fn measure(rig: &Rig, count: usize) -> Result<Value> {
    rig.dataset("shut-fleet", 3).await?;
    let workers = Simulated::start(rig.broker_url(), "fleet", count, PACE);
    let spec = json!({
        "name": "a fleet", "dataset": "simulated", "pack": "facesjs-64",
        "inversion": { "kind": "optimise", "seed": 77 },
        "edits": [{ "text": "a face of the fleet", "method": { "kind": "cf-mapper", "train_on": "shut-fleet" } }],
    });
    let (id, seq) = rig.submit(&spec).await?;
    let began = Instant::now();
    while workers.done() == 0 {
        ensure!(began.elapsed() < Duration::from_secs(120), "the fleet got no work");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(WARM_UP).await;
    let stat = PathBuf::from(format!("/proc/{}/stat", rig.coordinator.pid()));
    let (at, first, cpu) = (Instant::now(), workers.done(), processor_seconds(&stat)?);
    let mut unsent = Vec::new();
    while at.elapsed() < WINDOW {
        unsent.push(rig.number("SELECT count(*) FROM outbox WHERE $1 > 0", seq).await?);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let seconds = at.elapsed().as_secs_f64();
    let rate = (workers.done() - first) as f64 / seconds;
    let cores = (processor_seconds(&stat)? - cpu) / seconds;
    let waiting = rig.number("SELECT count(*) FROM tasks WHERE job_seq = $1 AND state = 'dispatched'", seq).await?;
    rig.cancel(&id).await?;
    workers.stop().await;
    unsent.sort_unstable();
    Ok(json!({
        "how": "simulated workers, a connection each, sleep 2 s an image; efficiency is tasks per second over half a worker",
        "workers": count,
        "tasks_per_s": rate,
        "efficiency": rate * PACE.as_secs_f64() / count as f64,
        "coordinator_cores": cores,
        "outbox_median": unsent[unsent.len() / 2],
        "handed_out_and_waiting": waiting,
    }))
}
