//! `POST /v1/workers/{boot}/drain`: the worker takes no more work, gives back what it holds at a checkpoint, and ends, as on SIGTERM.
//! Repeating it is harmless.

use super::audit;
use super::extract::{Actor, parse};
use super::problem::{ApiError, internal};
use super::workers;
use crate::access::Reach;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::BootId;
use serde_json::json;
use store::OutboxMessage;
use wire::broker::v1::Control;
use wire::http::v1::{Problem, Worker};

/// Asks the worker to drain; the worker as it was. It is seen as `draining` with its next sign of life.
pub async fn ask(app: &App, actor: &Actor, boot: BootId) -> Result<Worker, ApiError> {
    // who drains a worker has a key for all projects
    let worker = workers::list(app, &Reach::All).await?.into_iter().find(|worker| worker.boot == boot);
    let worker = worker.ok_or_else(|| ApiError::NotFound(format!("there is no worker {boot}")))?;
    if !matches!(worker.state.as_str(), "live" | "draining") {
        return Err(ApiError::NotNow(format!("the worker {} is {} already", worker.name, worker.state)));
    }
    let payload = serde_json::to_value(Control::Drain { boot: Some(boot) })
        .map_err(|error| internal("writing a control message", &error))?;
    let message = OutboxMessage { routing_key: String::new(), payload, traceparent: None };
    app.store.send_control(&message).await?;
    audit::note(app, actor, "worker.drain", boot, json!({ "name": worker.name })).await?;
    app.wake.relay.notify_one();
    Ok(worker)
}

/// 202: what follows is the worker's.
#[utoipa::path(
    post,
    path = "/v1/workers/{boot}/drain",
    operation_id = "drain_worker",
    tag = "workers",
    params(("boot" = BootId, Path, description = "The process.")),
    responses((status = 202, description = "What follows is the worker's.", body = Worker),
        (status = 409, description = "It has ended already.", body = Problem, content_type = "application/problem+json")),
)]
pub async fn handle(
    State(app): State<App>,
    actor: Actor,
    Path(boot): Path<String>,
) -> Result<(StatusCode, Json<Worker>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(ask(&app, &actor, parse(&boot)?).await?)))
}
