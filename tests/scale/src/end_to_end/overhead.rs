//! What orchestration costs a worker: a null executor takes the place of the tensors, so that there is neither computing nor a pixel,
//! and everything else is as with real work.
//!
//! Two costs are told. **Processor time** of the worker's process for each task: claims, messages, records, digests and, but for
//! `dry`, the bucket. **Lost time**: while there is work in the queue, how much longer a worker takes for a task than its device is
//! busy with it; staging, uploading and reporting beside the next batch hide the rest. The device of the lost time sleeps as long as
//! a small network computes; with nothing to hide behind, at 0 ms, the pace is the coordinator's, the bucket's or the worker's,
//! whichever is slowest, and no lost time is told.

use crate::rig::{Rig, TASKS_OF_SOURCE};
use crate::worker::processor_seconds;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Results before which nothing is measured: the process starts, and costs are learnt.
const WARM_UP: i64 = 100;
/// Sources with objects in the bucket, and of rows alone.
const STORED: usize = 1_000;
const ROWS: i64 = 12_000;
const SUCCEEDED: &str =
    "SELECT COALESCE(sum(n), 0)::bigint FROM job_counts WHERE job_seq = $1 AND state = 'succeeded'";
/// What the device took for an edit, in microseconds: inversions take the same.
const DEVICE: &str = "SELECT coalesce(1000 * avg(gpu_ms), 0)::bigint FROM results WHERE job_seq = $1";

/// Both costs, by executor.
///
/// # Errors
/// When the installation fails.
pub async fn measure(rig: &Rig, seconds: u64) -> Result<Value> {
    let limit = Duration::from_secs(seconds);
    rig.generated_dataset("rows", ROWS).await?;
    let mut told = vec![one(rig, "rows", usize::try_from(ROWS)?, "dry:0ms", limit).await?];
    for executor in ["sleep:0ms", "sleep:20ms"] {
        let dataset = executor.replace(':', "-");
        rig.dataset(&dataset, STORED).await?;
        told.push(one(rig, &dataset, STORED, executor, limit).await?);
    }
    Ok(json!(told))
}

/// One worker with one executor.
async fn one(rig: &Rig, dataset: &str, sources: usize, executor: &str, limit: Duration) -> Result<Value> {
    let (id, seq, _) = rig.submit_noop(dataset).await?;
    let mut worker = rig.worker(executor)?;
    rig.reaches(SUCCEEDED, seq, WARM_UP, Duration::from_millis(20)).await?;
    let all = i64::try_from(sources * TASKS_OF_SOURCE)?;
    let (began, first, [_, cpu]) = (Instant::now(), rig.number(SUCCEEDED, seq).await?, processor_seconds(worker.pid())?);
    let mut last = first;
    while last < all && began.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(100)).await;
        last = rig.number(SUCCEEDED, seq).await?;
    }
    let (seconds, [_, cpu_now]) = (began.elapsed().as_secs_f64(), processor_seconds(worker.pid())?);
    ensure!(last > first, "the worker with {executor} did nothing for {seconds:.0} s; see its log");
    let device_ms = rig.number(DEVICE, seq).await? as f64 / 1e3;
    if last < all {
        // what is left would be handed to the worker of the next part
        rig.cancel(&id).await?;
    }
    worker.terminate()?;
    worker.wait(Duration::from_secs(60)).await;
    let tasks = (last - first) as f64;
    let task_ms = 1e3 * seconds / tasks;
    // shorter than a timer's tick nothing is slept
    let lost_ms = if device_ms > 1.0 { json!(task_ms - device_ms) } else { Value::Null };
    let cpu_ms = 1e3 * (cpu_now - cpu) / tasks;
    println!("{executor}: {cpu_ms:.2} ms of processor time a task; {task_ms:.2} ms a task, {device_ms:.2} of them the device");
    Ok(json!({
        "executor": executor,
        "tasks": last - first,
        "seconds": seconds,
        "tasks_per_s": tasks / seconds,
        "device_ms_per_task": device_ms,
        "cpu_ms_per_task": cpu_ms,
        "lost_ms_per_task": lost_ms,
    }))
}
