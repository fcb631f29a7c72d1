//! `GET /workers`: every process heard of lately, and what each does now.

use super::filters::{self, address, size};
use super::{Page, render};
use crate::access::{May, Principal, Reach};
use crate::app::App;
use crate::http::problem::ApiError;
use crate::http::workers;
use askama::Template;
use axum::extract::State;
use domain::TaskId;
use std::collections::{BTreeMap, BTreeSet};
use store::JobRow;
use wire::http::v1::{DeviceMemory, Worker};

/// Tasks of a worker that are looked up at most; it holds two or three batches.
const NAMED: usize = 256;

/// Tasks of one kind that a worker holds.
struct Held {
    /// `edit green-hair`.
    what: String,
    /// The job's page and name.
    job: Option<(String, String)>,
    tasks: usize,
    /// Mean of the parts done.
    percent: String,
}

/// How full a GPU's memory is.
struct Full {
    /// `12.3 / 79.2 GiB`.
    of: String,
    /// Of a bar of 1000.
    width: i64,
}

impl Full {
    fn new(memory: DeviceMemory) -> Self {
        let gib = |bytes: i64| bytes as f64 / 1024.0 / 1024.0 / 1024.0;
        // what has no memory is not told: see `believed`
        let part = memory.used_bytes as f64 / memory.total_bytes.max(1) as f64;
        Self {
            of: format!("{:.1} / {:.1} GiB", gib(memory.used_bytes), gib(memory.total_bytes)),
            width: (1000.0 * part).round() as i64,
        }
    }
}

struct Row {
    held: Vec<Held>,
    /// Tasks of projects that are not for who looks.
    others: i64,
    memory: Option<String>,
    gpu: Option<Full>,
    /// Images per minute since it started.
    rate: Option<String>,
    busy: Option<String>,
    worker: Worker,
}

/// The table.
#[derive(Template)]
#[template(path = "workers_now.html")]
pub struct Now {
    rows: Vec<Row>,
    may: May,
}

impl Now {
    fn can_drain(&self, worker: &Worker) -> bool {
        self.may.drain && worker.state == "live"
    }
}

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    tab: &'static str,
    now: String,
}

/// What a task is: `edit green-hair`, and its job's page and name.
type Named = (String, String, String);

/// The page of a job, which may be of another project than the pages before.
fn page_of(job: &JobRow) -> String {
    address(&format!("/jobs/{}", job.id), &[("project", Some(&job.project_name))])
}

async fn named(app: &App, ids: &[TaskId]) -> Result<BTreeMap<TaskId, Named>, ApiError> {
    let mut jobs = BTreeMap::new();
    for seq in ids.iter().map(|id| id.job).collect::<BTreeSet<_>>() {
        if let Some(job) = app.store.job_by_seq(seq).await? {
            jobs.insert(seq, job);
        }
    }
    let mut named = BTreeMap::new();
    for task in app.store.tasks_named(ids).await? {
        let Some(job) = jobs.get(&task.id.job) else { continue };
        let edit = task.edit_no.and_then(|no| job.spec.edits.get(usize::try_from(no).ok()?));
        let edit = edit.map(|edit| format!(" {}", edit.slug())).unwrap_or_default();
        named.insert(task.id, (format!("{}{edit}", task.stage.name()), page_of(job), job.spec.name.clone()));
    }
    Ok(named)
}

fn row(worker: Worker, named: &BTreeMap<TaskId, Named>) -> Row {
    let lived = (worker.last_seen - worker.first_seen).as_seconds_f64();
    let mut kinds = BTreeMap::<Option<&Named>, (usize, f32)>::new();
    for held in &worker.tasks {
        let (tasks, done) = kinds.entry(named.get(&held.task)).or_default();
        (*tasks, *done) = (*tasks + 1, *done + held.done.clamp(0.0, 1.0));
    }
    let held = kinds.into_iter().map(|(kind, (tasks, done))| Held {
        what: kind.map_or_else(|| "other work".to_owned(), |(what, _, _)| what.clone()),
        job: kind.map(|(_, page, name)| (page.clone(), name.clone())),
        tasks,
        percent: format!("{:.0}", 100.0 * done / tasks as f32),
    });
    Row {
        held: held.collect(),
        others: worker.running - worker.tasks.len() as i64,
        memory: worker.memory_bytes.map(size),
        gpu: worker.device_memory.map(Full::new),
        rate: (lived > 0.0).then(|| format!("{:.1}", worker.images as f64 * 60.0 / lived)),
        busy: (lived > 0.0).then(|| format!("{:.0} %", (worker.busy_ms as f64 / 10.0 / lived).min(100.0))),
        worker,
    }
}

/// The workers as they are now, for somebody who may see and do this.
pub async fn now(app: &App, reach: &Reach, may: May) -> Result<Now, ApiError> {
    let workers = workers::list(app, reach).await?;
    let ids: Vec<TaskId> = workers.iter().flat_map(|w| w.tasks.iter().take(NAMED)).map(|held| held.task).collect();
    let named = if ids.is_empty() { BTreeMap::new() } else { named(app, &ids).await? };
    Ok(Now { rows: workers.into_iter().map(|worker| row(worker, &named)).collect(), may })
}

/// The page.
pub async fn page(State(app): State<App>, principal: Principal) -> Page {
    render(&WorkersPage { tab: "workers", now: render(&now(&app, &principal.reach, super::may()).await?)?.0 })
}
