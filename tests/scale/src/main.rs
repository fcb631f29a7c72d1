//! `make scale`: how fast tasks are written, pass through both services and RabbitMQ with nothing to compute, and are read about;
//! and what more workers bring. Written to `tests/bench/scale.json`: what was not measured is null there and says why.
//!
//! `SCALE_ROWS` is the number of tasks that are written and read over (1,000,000), `SCALE_SECONDS` the longest time for a no-op
//! part (60), `SCALE_FLEET` the number of workers of the fleet (1000). `SCALE_PARTS` names the parts to run
//! (`noop,scale_out,fleet,enqueue`); with fewer than all of them only the
//! query times are written, into the report that is there: `SCALE_PARTS=enqueue SCALE_ROWS=10000000` adds those of ten million.
#![expect(clippy::print_stdout, reason = "it is run by people and by make, and its words are its output")]

mod fleet;
mod noop;
mod peers;
mod read;
mod recovery;
mod rig;
mod simulated;
mod write;

use anyhow::{Context as _, Result, bail};
use rig::Rig;
use serde_json::{Value, json};
use simulated::{PAUSE, Simulated};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::workspace_root;

/// Sources for simulated workers: enough for the largest number of them.
const SIMULATED_SOURCES: i64 = 40_000;
/// The parts of a whole run.
const ALL: [&str; 4] = ["noop", "scale_out", "fleet", "enqueue"];
const WARM_UP: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(12);

#[tokio::main]
async fn main() -> Result<()> {
    let rows = setting("SCALE_ROWS", 1_000_000)?;
    let limit = Duration::from_secs(setting("SCALE_SECONDS", 60)?);
    let parts = std::env::var("SCALE_PARTS").unwrap_or_else(|_| ALL.join(","));
    let wanted = |part: &str| parts.split(',').any(|name| name == part);
    if let Some(unknown) = parts.split(',').find(|name| !ALL.contains(name)) {
        bail!("SCALE_PARTS has '{unknown}', which is none of {}", ALL.join(", "));
    }
    let load = load();
    let mut rig = Rig::start().await?;
    let mut report = json!({ "rows": rows });
    if wanted("noop") {
        let noop = noop::dry(&rig, limit).await?;
        println!("no-op: {noop}");
        report["noop_tasks_per_s"] = noop["tasks_per_s"].clone();
        report["wal_bytes_per_task"] = noop["wal_bytes_per_task"].clone();
        report["commits_per_task"] = noop["commits_per_task"].clone();
        report["noop"] = noop;
        report["noop_with_bucket"] = noop::with_bucket(&rig, limit).await?;
        println!("no-op with the bucket: {}", report["noop_with_bucket"]);
    }
    if wanted("scale_out") || wanted("fleet") || wanted("enqueue") {
        rig.generated_dataset("simulated", SIMULATED_SOURCES).await?;
    }
    if wanted("scale_out") {
        report["scale_out"] = scale_out(&rig).await?;
        println!("scale out: {}", report["scale_out"]);
    }
    if wanted("fleet") {
        report["fleet"] = fleet::measure(&rig, usize::try_from(setting("SCALE_FLEET", 1000)?)?).await?;
        println!("fleet: {}", report["fleet"]);
    }
    if wanted("enqueue") {
        let (job, written) = write::measure(&mut rig, rows).await?;
        println!("enqueue: {written}");
        report["enqueue_rows_per_s"] = written["rows_per_s"].clone();
        report["enqueue"] = written;
        let size = match rows {
            1_000_000 => "1m".to_owned(),
            10_000_000 => "10m".to_owned(),
            other => other.to_string(),
        };
        // figures of other sizes stay: each is a run of its own
        let mut query_p95_ms = written_before()["query_p95_ms"].take();
        if !query_p95_ms.is_object() {
            query_p95_ms = json!({ "1m": null, "10m": null });
        }
        query_p95_ms["why"] = json!("null: run again with SCALE_ROWS of that size");
        query_p95_ms[size] = read::measure(&rig, &job).await?;
        println!("queries: {query_p95_ms}");
        report["query_p95_ms"] = query_p95_ms;
    }
    report["memory_mib"] = json!({ "coordinator": peak_mib(rig.coordinator.pid())? });
    report["recovery_s"] = recovery::seconds(&workspace_root().join(".local/faults/report.json"));
    let side = peers::by_side()?;
    report["peers"] = side["peers"].clone();
    report["peers_run"] = side["run"].clone();
    report["machine"] = json!({
        "cores": std::thread::available_parallelism()?.get(),
        "load_before": load,
        "load_after": self::load(),
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
    });
    if !ALL.iter().all(|part| wanted(part)) {
        println!("{report:#}");
        if report["query_p95_ms"].is_null() {
            println!("not written: only a whole run is");
            return Ok(());
        }
        println!("of this, only the queries are written: the rest takes a whole run");
        let mut before = written_before();
        before["query_p95_ms"] = report["query_p95_ms"].take();
        report = before;
    }
    let path = path();
    std::fs::write(&path, format!("{report:#}\n"))?;
    println!("written to {}", path.display());
    Ok(())
}

fn path() -> PathBuf {
    workspace_root().join("tests/bench/scale.json")
}

/// The report of the run before; an empty one if there is none.
fn written_before() -> Value {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|_| json!({}))
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

/// Tasks per second of 1, 8 and 64 simulated workers, and what part of their sleeping time is used.
async fn scale_out(rig: &Rig) -> Result<Value> {
    rig.dataset("shut", 3).await?;
    let mut told =
        json!({ "how": "simulated workers sleep 50 ms a task; efficiency is tasks per second over 20 a worker" });
    for count in [1_usize, 8, 64] {
        let workers = Simulated::start(rig.broker_url(), &format!("simulated{count}"), count, PAUSE);
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
