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
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Results before which nothing is measured: the process starts, and costs are learnt.
const WARM_UP: i64 = 100;
/// How often it is looked whether a batch has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Sources of rows alone.
const ROWS: usize = 12_000;
/// Executors that use the bucket, and sources with objects there: more than they get through.
const STORED: [(&str, usize); 2] = [("sleep:0ms", 1_000), ("sleep:20ms", 400)];
const SUCCEEDED: &str = "SELECT COALESCE(sum(n), 0)::bigint FROM job_counts WHERE job_seq = $1 AND state = 'succeeded'";
/// What the device took for an edit, in microseconds: inversions take the same.
const DEVICE: &str = "SELECT coalesce(1000 * avg(gpu_ms), 0)::bigint FROM results WHERE job_seq = $1";

/// Both costs, by executor.
///
/// # Errors
/// When the installation fails.
pub async fn measure(rig: &Rig, seconds: u64) -> Result<Value> {
    let limit = Duration::from_secs(seconds);
    rig.generated_dataset("rows", i64::try_from(ROWS)?).await?;
    let mut told = vec![one(rig, "rows", ROWS, "dry:0ms", limit).await?];
    for (executor, sources) in STORED {
        let dataset = executor.replace(':', "-");
        rig.dataset(&dataset, sources).await?;
        told.push(one(rig, &dataset, sources, executor, limit).await?);
    }
    Ok(json!(told))
}

/// A moment at which a batch's outcomes were counted: tasks that have succeeded, and the worker's processor seconds.
#[derive(Clone, Copy)]
struct Edge {
    at: Instant,
    tasks: i64,
    cpu: f64,
}

/// The next moment at which more tasks have succeeded than `tasks`; none until `end`. Outcomes come by batches: between two such
/// moments lie whole ones, and between any others a part that would count for all or nothing.
async fn next_edge(rig: &Rig, seq: i64, pid: u32, tasks: i64, end: Instant) -> Result<Option<Edge>> {
    while Instant::now() < end {
        let now = rig.number(SUCCEEDED, seq).await?;
        if now > tasks {
            let [_, cpu] = processor_seconds(pid)?;
            return Ok(Some(Edge { at: Instant::now(), tasks: now, cpu }));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(None)
}

/// One worker with one executor.
async fn one(rig: &Rig, dataset: &str, sources: usize, executor: &str, limit: Duration) -> Result<Value> {
    let (id, seq, _) = rig.submit_noop(dataset).await?;
    let mut worker = rig.worker(executor)?;
    let pid = worker.pid();
    rig.reaches(SUCCEEDED, seq, WARM_UP, LOOK).await?;
    let all = i64::try_from(sources * TASKS_OF_SOURCE)?;
    let end = Instant::now() + limit;
    let first = next_edge(rig, seq, pid, rig.number(SUCCEEDED, seq).await?, end).await?;
    let first = first.with_context(|| format!("the worker with {executor} did nothing for {limit:?}; see its log"))?;
    let mut last = first;
    while last.tasks < all {
        let Some(edge) = next_edge(rig, seq, pid, last.tasks, end).await? else { break };
        last = edge;
    }
    let (tasks, seconds) = ((last.tasks - first.tasks) as f64, (last.at - first.at).as_secs_f64());
    ensure!(tasks > 0.0, "{limit:?} are not enough for two batches with {executor}; give more by --null-seconds");
    let device_ms = rig.number(DEVICE, seq).await? as f64 / 1e3;
    if last.tasks < all {
        // what is left would be handed to the worker of the next part
        rig.cancel(&id).await?;
    }
    worker.terminate()?;
    worker.wait(Duration::from_secs(60)).await;
    let task_ms = 1e3 * seconds / tasks;
    // shorter than a timer's tick nothing is slept
    let lost_ms = if device_ms > 1.0 { json!(task_ms - device_ms) } else { Value::Null };
    let cpu_ms = 1e3 * (last.cpu - first.cpu) / tasks;
    println!(
        "{executor}: {cpu_ms:.2} ms of processor time a task; {task_ms:.2} ms a task, {device_ms:.2} of them the device"
    );
    Ok(json!({
        "executor": executor,
        "tasks": tasks,
        "seconds": seconds,
        "tasks_per_s": tasks / seconds,
        "device_ms_per_task": device_ms,
        "cpu_ms_per_task": cpu_ms,
        "lost_ms_per_task": lost_ms,
    }))
}
