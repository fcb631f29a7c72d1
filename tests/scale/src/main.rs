//! `make scale`: how fast tasks are written, pass through both services and RabbitMQ with nothing to compute, and are read about;
//! and what more workers bring. Written to `tests/bench/scale.json`: what was not measured is null there and says why.
//!
//! `SCALE_ROWS` is the number of tasks that are written and read over (1,000,000), `SCALE_SECONDS` the longest time for the no-op
//! part (120).
#![expect(clippy::print_stdout, reason = "it is run by people and by make, and its words are its output")]

mod peers;
mod read;
mod rig;
mod simulated;
mod write;

use anyhow::{Context as _, Result};
use rig::Rig;
use serde_json::{Value, json};
use simulated::{PAUSE, Simulated};
use std::time::{Duration, Instant};
use testkit::workspace_root;

/// Sources of the no-op job; each gives one inversion and [`SEEDS`] edits.
const NOOP_SOURCES: usize = 2_000;
const SEEDS: usize = 4;
/// Worker processes of the no-op part.
const NOOP_WORKERS: usize = 2;
/// Sources for simulated workers: enough for the largest number of them.
const SIMULATED_SOURCES: i64 = 40_000;
const WARM_UP: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(12);

#[tokio::main]
async fn main() -> Result<()> {
    let rows = setting("SCALE_ROWS", 1_000_000)?;
    let seconds = setting("SCALE_SECONDS", 120)?;
    let load = load();
    let mut rig = Rig::start().await?;
    let noop = noop(&rig, Duration::from_secs(seconds)).await?;
    println!("no-op: {noop}");
    let scale_out = scale_out(&rig).await?;
    println!("scale out: {scale_out}");
    let (job, written) = write::measure(&mut rig, rows).await?;
    println!("enqueue: {written}");
    let mut query_p95_ms = json!({ "1m": null, "10m": null, "why": "null: run again with SCALE_ROWS of that size" });
    let size = match rows {
        1_000_000 => "1m".to_owned(),
        10_000_000 => "10m".to_owned(),
        other => other.to_string(),
    };
    query_p95_ms[size] = read::measure(&rig, &job).await?;
    println!("queries: {query_p95_ms}");
    let side = peers::by_side()?;
    let report = json!({
        "rows": rows,
        "enqueue_rows_per_s": written["rows_per_s"],
        "enqueue": written,
        "noop_tasks_per_s": noop["tasks_per_s"],
        "noop": noop,
        "wal_bytes_per_task": noop["wal_bytes_per_task"],
        "commits_per_task": noop["commits_per_task"],
        "query_p95_ms": query_p95_ms,
        "scale_out": scale_out,
        "memory_mib": { "coordinator": peak_mib(rig.coordinator.pid())?, "worker": noop["worker_mib"] },
        "recovery_s": { "why": "measured by `make faults`, see its report" },
        "peers": side["peers"],
        "peers_run": side["run"],
        "machine": {
            "cores": std::thread::available_parallelism()?.get(),
            "load_before": load,
            "load_after": self::load(),
            "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        },
    });
    let path = workspace_root().join("tests/bench/scale.json");
    std::fs::write(&path, format!("{report:#}\n"))?;
    println!("written to {}", path.display());
    Ok(())
}

fn setting(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is '{text}', not a number")),
        Err(_) => Ok(default),
    }
}

/// The machine's load over the last minute, where it tells.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The most memory that a process has had.
fn peak_mib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the process has a peak")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1024)
}

/// Everything but the work: claims, messages, the bucket, records, outcomes.
async fn noop(rig: &Rig, limit: Duration) -> Result<Value> {
    rig.dataset("noop", NOOP_SOURCES).await?;
    let workers = (0..NOOP_WORKERS).map(|_| rig.worker("sleep:0ms")).collect::<Result<Vec<_>>>()?;
    let succeeded = "SELECT COALESCE(sum(n), 0)::bigint FROM job_counts WHERE job_seq = $1 AND state = 'succeeded'";
    let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database() AND $1 = $1";
    let wal = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint + 0 * $1";
    let seeds: Vec<usize> = (0..SEEDS).collect();
    let spec = json!({
        "name": "no-op", "dataset": "noop", "pack": "facesjs-64", "seeds": seeds,
        "edits": [{ "text": "a face with green hair", "method": { "kind": "clip-nce", "steps": 1 } }],
    });
    let (id, seq) = rig.submit(&spec).await?;
    // from the first result on: starting processes is not what is measured
    let started = Instant::now();
    while rig.number(succeeded, seq).await? == 0 {
        anyhow::ensure!(started.elapsed() < Duration::from_secs(120), "no task ended within two minutes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (began, first) = (Instant::now(), rig.number(succeeded, seq).await?);
    let (commits_first, wal_first) = (rig.number(commits, seq).await?, rig.number(wal, seq).await?);
    let all = i64::try_from(NOOP_SOURCES * (1 + SEEDS))?;
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
        "workers": NOOP_WORKERS,
        "worker_mib": memory,
        "how": "worker processes with CFX_EXECUTOR=sleep:0ms; inversions and edits, every object in the bucket",
    }))
}

/// Tasks per second of 1, 8 and 64 simulated workers, and what part of their sleeping time is used.
async fn scale_out(rig: &Rig) -> Result<Value> {
    rig.generated_dataset("simulated", SIMULATED_SOURCES).await?;
    rig.dataset("shut", 3).await?;
    let mut told =
        json!({ "how": "simulated workers sleep 50 ms a task; efficiency is tasks per second over 20 a worker" });
    for count in [1_usize, 8, 64] {
        let workers = Simulated::start(rig.broker_url(), &format!("simulated{count}"), count);
        let spec = json!({
            "name": format!("{count} workers"), "dataset": "simulated", "pack": "facesjs-64",
            "inversion": { "kind": "optimise", "seed": count },
            "edits": [{ "text": format!("face {count}"), "method": { "kind": "cf-mapper", "train_on": "shut" } }],
        });
        let (id, _) = rig.submit(&spec).await?;
        let began = Instant::now();
        while workers.done() == 0 {
            anyhow::ensure!(began.elapsed() < Duration::from_secs(120), "{count} simulated workers got no work");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(WARM_UP).await;
        let (at, first) = (Instant::now(), workers.done());
        tokio::time::sleep(WINDOW).await;
        let rate = (workers.done() - first) as f64 / at.elapsed().as_secs_f64();
        rig.cancel(&id).await?;
        workers.stop().await;
        let possible = count as f64 / PAUSE.as_secs_f64();
        told[count.to_string()] = json!({ "tasks_per_s": rate, "efficiency": rate / possible });
        println!("{count} workers: {rate:.0} tasks/s of {possible:.0}");
    }
    Ok(told)
}
