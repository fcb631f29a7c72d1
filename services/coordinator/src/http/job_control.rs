//! `POST /v1/jobs/{id}/pause`, `resume` and `cancel`. Repeating one is not an error.

use super::audit;
use super::extract::{Actor, Project, parse};
use super::job_get::{detailed, find};
use super::problem::ApiError;
use crate::app::App;
use axum::Json;
use axum::extract::{Path, State};
use domain::job_state::JobEvent;
use serde_json::json;
use store::OutboxMessage;
use wire::broker::v1::Control;
use wire::http::v1::Job;

/// The job after the event. Once a cancel has returned, no result of the job is committed any more; workers are told in the
/// same transaction.
pub async fn handle(
    event: JobEvent,
    State(app): State<App>,
    Project(project): Project,
    actor: Actor,
    Path(id): Path<String>,
) -> Result<Json<Job>, ApiError> {
    let row = find(&app, project, parse(&id)?).await?;
    let control = (event == JobEvent::Cancel).then_some(Control::CancelJob { job: row.seq });
    let message = control
        .map(|control| serde_json::to_value(&control))
        .transpose()
        .map_err(|error| super::problem::internal("writing a control message", &error))?
        .map(|payload| OutboxMessage { routing_key: String::new(), payload, traceparent: None });
    let state = app.store.transition(row.seq, event, message).await?;
    let action = match event {
        JobEvent::Pause => "job.pause",
        JobEvent::Resume => "job.resume",
        _ => "job.cancel",
    };
    audit::note(&app, &actor, action, row.id, json!({ "from": row.state, "to": state })).await?;
    app.wake.relay.notify_one();
    app.wake.dispatch.notify_one();
    app.wake.settle.notify_one();
    let row = find(&app, project, row.id).await?;
    detailed(&app, row).await.map(Json)
}
