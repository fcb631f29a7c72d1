//! `GET /v1/workers`: every process heard of lately.

use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::State;
use store::WorkerState;
use wire::http::v1::{HeldTask, Page, Worker};

/// All of them; the store forgets processes that ended long ago.
pub async fn list(app: &App) -> Result<Vec<Worker>, ApiError> {
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
            tasks: said.running.iter().map(|held| HeldTask { task: held.task, done: held.done }).collect(),
            images: said.images,
            busy_ms: said.busy_ms,
            waits_for: said.waits_for,
            memory_bytes: said.memory_bytes,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
        }
    };
    Ok(app.store.workers().await?.into_iter().map(view).collect())
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
pub async fn handle(State(app): State<App>) -> Result<Json<Page<Worker>>, ApiError> {
    Ok(Json(Page { items: list(&app).await?, next: None }))
}
