//! Everything but the work: claims, messages, records, outcomes; with the bucket and without it.

use crate::peak_mib;
use crate::rig::{Rig, TASKS_OF_SOURCE};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
/// Sources of the job that leaves the bucket alone.
const DRY_SOURCES: usize = 60_000;
/// Sources of the job that has every object in the bucket.
const STORED_SOURCES: usize = 2_000;
/// Results before which nothing is measured: processes start, and costs are learnt.
const WARM_UP: i64 = 2_000;

/// Through both services and RabbitMQ, the bucket left alone.
///
/// # Errors
/// When the installation fails.
pub async fn dry(rig: &Rig, limit: Duration) -> Result<Value> {
    rig.generated_dataset("dry", i64::try_from(DRY_SOURCES)?).await?;
    let how =
        "worker processes with CFX_EXECUTOR=dry:0ms: inversions and edits with their records, no object stored or read";
    measure(rig, Job { dataset: "dry", sources: DRY_SOURCES, executor: "dry:0ms", how }, limit).await
}

/// The same with every object in the bucket.
///
/// # Errors
/// When the installation fails.
pub async fn with_bucket(rig: &Rig, limit: Duration) -> Result<Value> {
    rig.dataset("noop", STORED_SOURCES).await?;
    let how = "worker processes with CFX_EXECUTOR=sleep:0ms: inversions and edits, every object in the bucket";
    measure(rig, Job { dataset: "noop", sources: STORED_SOURCES, executor: "sleep:0ms", how }, limit).await
}

struct Job {
    dataset: &'static str,
    sources: usize,
    executor: &'static str,
    how: &'static str,
}

async fn measure(rig: &Rig, job: Job, limit: Duration) -> Result<Value> {
    let succeeded = "SELECT COALESCE(sum(n), 0)::bigint FROM job_counts WHERE job_seq = $1 AND state = 'succeeded'";
    let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database() AND $1 = $1";
    let wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint + 0 * $1";
    // writing the tasks is measured by itself
    let (id, seq, _) = rig.submit_noop(job.dataset).await?;
    let workers = (0..WORKERS).map(|_| rig.worker(job.executor)).collect::<Result<Vec<_>>>()?;
    rig.reaches(succeeded, seq, WARM_UP, Duration::from_millis(20)).await?;
    let (began, first) = (Instant::now(), rig.number(succeeded, seq).await?);
    let (commits_first, wal_first) = (rig.number(commits, seq).await?, rig.number(wal, seq).await?);
    let all = i64::try_from(job.sources * TASKS_OF_SOURCE)?;
    let mut last = first;
    while last < all && began.elapsed() < limit {
        tokio::time::sleep(Duration::from_millis(250)).await;
        last = rig.number(succeeded, seq).await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let wal_last = rig.number(wal, seq).await?;
    if last < all {
        // what is left would be handed to the workers of the next part
        rig.cancel(&id).await?;
    }
    // a session tells the statistics of its commits a second later at most
    tokio::time::sleep(Duration::from_secs(2)).await;
    let tasks = (last - first) as f64;
    let mut memory = 0;
    for worker in &workers {
        memory = memory.max(peak_mib(worker.pid())?);
    }
    for mut worker in workers {
        worker.terminate()?;
        worker.wait(Duration::from_secs(60)).await;
    }
    Ok(json!({
        "tasks": last - first,
        "of": all,
        "seconds": seconds,
        "tasks_per_s": tasks / seconds,
        "wal_bytes_per_task": (wal_last - wal_first) as f64 / tasks,
        "commits_per_task": (rig.number(commits, seq).await? - commits_first) as f64 / tasks,
        "workers": WORKERS,
        "worker_mib": memory,
        "how": job.how,
    }))
}
