//! `GET /v1/workers`: every process heard of lately. Workers serve all projects; of what they hold, a key for some projects is told the
//! tasks of those, and of the rest how many they are.

use super::problem::ApiError;
use crate::access::{Principal, Reach};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use domain::TaskId;
use std::collections::BTreeSet;
use store::WorkerState;
use wire::http::v1::{DeviceMemory, HeldTask, Page, Worker};

/// All of them; the store forgets processes that ended long ago. `running` counts every task that one holds, `tasks` are those of
/// the projects within reach.
pub async fn list(app: &App, reach: &Reach) -> Result<Vec<Worker>, ApiError> {
    let rows = app.store.workers().await?;
    let within = match reach.names() {
        None => None,
        Some(names) => {
            let held = rows.iter().flat_map(|row| &row.heartbeat.running).map(|held| held.task.job);
            let jobs: Vec<i64> = held.collect::<BTreeSet<_>>().into_iter().collect();
            Some(app.store.jobs_within(&jobs, names).await?)
        }
    };
    let told = |task: TaskId| within.as_ref().is_none_or(|jobs| jobs.contains(&task.job));
    let view = |row: store::WorkerRow| {
        let said = row.heartbeat;
        Worker {
            boot: said.boot,
            name: said.name,
            class: said.class,
            device: said.device,
            version: said.version,
            state: state(row.state).to_owned(),
            running: said.running.len() as i64,
            tasks: said
                .running
                .iter()
                .filter(|held| told(held.task))
                .map(|held| HeldTask { task: held.task, done: held.done })
                .collect(),
            images: said.images,
            busy_ms: said.busy_ms,
            waits_for: said.waits_for,
            memory_bytes: said.memory_bytes,
            device_memory: said
                .device_memory
                .map(|memory| DeviceMemory { used_bytes: memory.used_bytes, total_bytes: memory.total_bytes }),
            first_seen: row.first_seen,
            last_seen: row.last_seen,
        }
    };
    Ok(rows.into_iter().map(view).collect())
}

const fn state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Live => "live",
        WorkerState::Draining => "draining",
        WorkerState::Gone => "gone",
        WorkerState::Lost => "lost",
    }
}

/// The list.
#[utoipa::path(
    get,
    path = "/v1/workers",
    operation_id = "list_workers",
    tag = "workers",
    responses((status = 200, description = "Every process heard of lately.", body = Page<Worker>)),
)]
pub async fn handle(State(app): State<App>, principal: Principal) -> Result<Json<Page<Worker>>, ApiError> {
    Ok(Json(Page { items: list(&app, &principal.reach).await?, next: None }))
}
