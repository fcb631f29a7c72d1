//! What is measured of a running installation.

use super::load::{Load, PROJECTS};
use crate::history;
use crate::rig::Rig;
use anyhow::Result;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Between two samples.
pub const EVERY: Duration = Duration::from_secs(15);

/// Everything at one moment. What could not be asked, because it is broken just now, is left out.
#[derive(Serialize, Clone, Debug)]
pub struct Sample {
    /// Seconds since 1970.
    pub at: f64,
    /// By name: `memory_mib.worker 0`, `rows.outbox`, ...
    pub values: BTreeMap<String, f64>,
    /// Whether every project had something to hand out.
    pub backlogged: Option<bool>,
}

impl Sample {
    /// Measures. Counts that are wrong at this snapshot (I6) are a violation.
    pub async fn take(rig: &Rig, load: &Load) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        let mut values = BTreeMap::new();
        for (name, pid) in rig.processes() {
            let mut put = |what: &str, value: Option<f64>| {
                values.extend(value.map(|value| (format!("{what}.{name}"), value)));
            };
            put("memory_mib", resident_mib(pid));
            put("open_files", open_files(pid));
        }
        // each kind by itself: what one service does not tell must not hide what another does
        values.extend(tables(rig).await.unwrap_or_default());
        values.extend(rows(rig).await.unwrap_or_default());
        values.extend(broker(rig).await.unwrap_or_default());
        for seq in load.open() {
            if matches!(history::counts_are_wrong(rig, seq).await, Ok(true)) {
                load.violated(format!("I6: the counts of job {seq} were wrong"));
            }
        }
        Self { at, values, backlogged: backlogged(rig).await.ok() }
    }
}

fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

fn open_files(pid: u32) -> Option<f64> {
    // safe to widen: a count of files
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as f64)
}

/// Sizes and dead rows; the partitions of tasks as one.
async fn tables(rig: &Rig) -> Result<Vec<(String, f64)>> {
    let sql = "SELECT CASE WHEN c.relname ~ '^tasks_[0-9]+$' THEN 'tasks' ELSE c.relname::text END,
            sum(pg_total_relation_size(c.oid))::float8 / 1024, sum(COALESCE(s.n_dead_tup, 0))::float8
        FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1";
    let rows: Vec<(String, f64, f64)> = sqlx::query_as(sql).fetch_all(&rig.pool).await?;
    Ok(rows
        .into_iter()
        .flat_map(|(name, kib, dead)| [(format!("table_kib.{name}"), kib), (format!("dead_rows.{name}"), dead)])
        .collect())
}

async fn rows(rig: &Rig) -> Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for (name, sql) in [
        ("rows.tasks", "SELECT count(*) FROM tasks"),
        ("rows.outbox", "SELECT count(*) FROM outbox"),
        ("rows.count_deltas", "SELECT count(*) FROM count_deltas"),
        ("rows.cost_samples", "SELECT count(*) FROM cost_samples"),
        ("rows.attempts", "SELECT count(*) FROM attempts"),
        ("rows.batches", "SELECT count(*) FROM batches"),
        ("rows.workers", "SELECT count(*) FROM workers"),
        ("rows.job_turns", "SELECT count(*) FROM job_turns"),
        ("partitions.tasks", "SELECT count(*) FROM pg_inherits WHERE inhparent = 'tasks'::regclass"),
        (
            "connections.postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cfx' AND backend_type = 'client backend'",
        ),
        (
            "done.tasks",
            "SELECT (SELECT count(*) FROM results) + (SELECT count(*) FROM stage_artifacts WHERE state = 'done')",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&rig.pool).await?;
        // safe to widen: a count of rows
        found.push((name.to_owned(), count as f64));
    }
    Ok(found)
}

/// Messages by queue (workers' own queues as one), and what is connected.
async fn broker(rig: &Rig) -> Result<Vec<(String, f64)>> {
    let name = rig.vhost.name();
    let mut found: BTreeMap<String, f64> = BTreeMap::new();
    let queues = rig.vhost.manage(Method::GET, &["queues", name], &json!({})).await?;
    for queue in queues.as_array().into_iter().flatten() {
        let name = queue["name"].as_str().unwrap_or_default();
        let name = if name.starts_with("cfx.") { name } else { "workers' own" };
        *found.entry(format!("messages.{name}")).or_default() += queue["messages"].as_f64().unwrap_or(0.0);
        *found.entry("queues.all".to_owned()).or_default() += 1.0;
    }
    for (what, path) in [("connections.rabbitmq", "connections"), ("channels.rabbitmq", "channels")] {
        let list = rig.vhost.manage(Method::GET, &["vhosts", name, path], &json!({})).await?;
        // safe to widen: a count of connections
        found.insert(what.to_owned(), list.as_array().map_or(0, Vec::len) as f64);
    }
    let nodes: Value = rig.vhost.manage(Method::GET, &["nodes"], &json!({})).await?;
    if let Some(bytes) = nodes[0]["mem_used"].as_f64() {
        found.insert("memory_mib.rabbitmq".to_owned(), bytes / f64::from(1 << 20));
    }
    Ok(found.into_iter().collect())
}

/// Whether every project has something that could be handed out.
///
/// # Errors
/// When the database does not answer.
pub async fn backlogged(rig: &Rig) -> Result<bool> {
    let sql = "SELECT count(DISTINCT p.name) FROM projects p JOIN jobs j ON j.project = p.id
        JOIN tasks t ON t.job_seq = j.seq LEFT JOIN job_edits e ON e.job_seq = t.job_seq AND e.edit_no = t.edit_no
        WHERE p.name = ANY ($1) AND j.state = 'active' AND t.state = 'ready' AND (e.gate IS NULL OR e.gate IN ('none', 'open'))";
    let names: Vec<&str> = PROJECTS.iter().map(|(name, _)| *name).collect();
    let waiting: i64 = sqlx::query_scalar(sql).bind(names).fetch_one(&rig.pool).await?;
    Ok(waiting == PROJECTS.len() as i64)
}

/// All samples, in memory and in `samples.jsonl`.
#[derive(Debug)]
pub struct Samples {
    all: Mutex<Vec<Sample>>,
    file: Mutex<std::fs::File>,
}

impl Samples {
    /// None yet.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        let file = std::fs::File::create(folder.join("samples.jsonl"))?;
        Ok(Self { all: Mutex::default(), file: Mutex::new(file) })
    }

    /// One more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&self, sample: Sample) -> Result<()> {
        let line = serde_json::to_string(&sample)?;
        writeln!(self.file.lock().unwrap_or_else(PoisonError::into_inner), "{line}")?;
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        Ok(())
    }

    /// All of them.
    pub fn all(&self) -> Vec<Sample> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
