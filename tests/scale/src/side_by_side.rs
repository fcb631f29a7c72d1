//! One run of the no-op path for `make peers`, by the rules that hold for the other queues there: the job is written first, then
//! worker processes are started; they may be killed at given times, and replaced at once. Its effects go to a file in the form of
//! `tests/bench/peers/effects.py`, read out of the database at the end; the last line on stdout tells the rest as JSON.
#![expect(clippy::print_stdout, reason = "its words are read by the program that runs it")]

#[expect(dead_code, reason = "the rig of `scale`, which does more with it")]
mod rig;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use rig::{Rig, TASKS_OF_SOURCE};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::Child;

const LOOK: Duration = Duration::from_millis(20);

/// One run of the no-op path.
#[derive(Parser)]
struct Arguments {
    /// How many tasks; a multiple of five.
    #[arg(long)]
    tasks: usize,
    /// The worker's executor, for example sleep:50ms.
    #[arg(long)]
    executor: String,
    /// Worker processes; each does one task at a time.
    #[arg(long)]
    workers: usize,
    /// Where the effects are written.
    #[arg(long)]
    effects: PathBuf,
    /// Seconds after the first effect at which the oldest worker is killed and replaced.
    #[arg(long, value_delimiter = ',')]
    kills: Vec<f64>,
    /// Seconds from the first effect on after which a run without kills ends.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// Seconds after the last kill after which a run with kills ends.
    #[arg(long, default_value_t = 150)]
    patience: u64,
}

/// What has its effect when the row is there.
const DONE: &str = "SELECT (SELECT count(*) FROM results WHERE job_seq = $1)
    + (SELECT count(*) FROM stage_artifacts WHERE producer_job = $1 AND state = 'done')";
/// What is not in its last state.
const LEFT: &str = "SELECT count(*) FROM tasks WHERE job_seq = $1 AND state NOT IN ('succeeded', 'dead', 'cancelled')";
/// Effects, and beginnings of hand-outs that were lost: letter, task, worker's name, nanoseconds.
const LINES: &str = "
    SELECT 'E', r.no, w.name, (extract(epoch FROM r.created_at) * 1e9)::bigint FROM results r JOIN workers w USING (boot)
        WHERE r.job_seq = $1
    UNION ALL SELECT 'E', producer_no, '', (extract(epoch FROM done_at) * 1e9)::bigint FROM stage_artifacts
        WHERE producer_job = $1 AND state = 'done'
    UNION ALL SELECT 'S', a.no, w.name, (extract(epoch FROM coalesce(a.started_at, a.ended_at)) * 1e9)::bigint
        FROM attempts a JOIN workers w USING (boot) WHERE a.job_seq = $1 AND a.outcome = 'lost'
    UNION ALL SELECT 'S', t.no, '', (extract(epoch FROM t.updated_at) * 1e9)::bigint FROM tasks t
        WHERE t.job_seq = $1 AND t.state <> 'blocked'";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.tasks > 0 && arguments.tasks.is_multiple_of(TASKS_OF_SOURCE),
        "the number of tasks must be a multiple of five"
    );
    let rig = Rig::start().await?;
    rig.dataset("noop", arguments.tasks / TASKS_OF_SOURCE).await?;
    let (_, seq, enqueue) = rig.submit_noop("noop").await?;
    let mut workers = Vec::new();
    for _ in 0..arguments.workers {
        workers.push(rig.worker(&arguments.executor)?);
    }
    rig.reaches(DONE, seq, 1, LOOK).await?;
    let first = Instant::now();
    let kills = kill(&rig, &arguments, &mut workers, first).await?;
    let end = match kills.is_empty() {
        true => first + Duration::from_secs(arguments.limit),
        false => Instant::now() + Duration::from_secs(arguments.patience),
    };
    let all = i64::try_from(arguments.tasks)?;
    while (rig.number(DONE, seq).await? < all || rig.number(LEFT, seq).await? > 0) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // asked before the effects are read: what ends between is in both, and nothing seems lost
    let left = rig.number(LEFT, seq).await?;
    write_effects(&rig, seq, &arguments.effects).await?;
    println!("{}", json!({ "enqueue_s": enqueue.as_secs_f64(), "kills": kills, "left": left }));
    Ok(())
}

/// Kills the oldest worker at each time and starts another.
async fn kill(rig: &Rig, arguments: &Arguments, workers: &mut Vec<Child>, first: Instant) -> Result<Vec<Value>> {
    let mut told = Vec::new();
    for at in &arguments.kills {
        tokio::time::sleep_until((first + Duration::from_secs_f64(*at)).into()).await;
        let mut oldest = workers.remove(0);
        let pid = oldest.pid();
        oldest.kill()?;
        told.push(json!({ "pid": pid, "at": SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() }));
        workers.push(rig.worker(&arguments.executor)?);
    }
    Ok(told)
}

async fn write_effects(rig: &Rig, seq: i64, path: &std::path::Path) -> Result<()> {
    let rows: Vec<(String, i32, String, i64)> = sqlx::query_as(LINES).bind(seq).fetch_all(&rig.pool).await?;
    let mut lines = String::new();
    for (what, no, name, at) in rows {
        // a worker's name ends with its process id; what nobody is named for is told as 0
        let pid = name.rsplit(':').next().filter(|pid| !pid.is_empty()).unwrap_or("0");
        writeln!(lines, "{what} {no} {pid} {at}")?;
    }
    std::fs::write(path, lines).with_context(|| format!("cannot write {}", path.display()))
}
