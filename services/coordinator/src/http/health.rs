//! `GET /healthz` and `GET /readyz`.

use super::problem::ApiError;
use crate::app::App;
use axum::extract::State;

/// The process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "is_alive",
    tag = "operations",
    responses((status = 200, description = "The process lives.", body = String, content_type = "text/plain")),
)]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// It can answer: the schema is there, and the broker has been reached since the start, so that it can be. While the broker is away, jobs are
/// accepted and everything is shown; what waits is said in the text. The bucket is left out: a request that needs it says so itself.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "is_ready",
    tag = "operations",
    responses((status = 200, description = "It can answer: `ready`, or `ready; ` and what waits meanwhile.", body = String, content_type = "text/plain")),
)]
pub async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.store.check().await?;
    match (app.publisher.is_connected(), app.publisher.has_been_connected()) {
        (true, _) => Ok("ready\n"),
        (false, true) => Ok("ready; RabbitMQ is away: work that is handed out goes on, new hand-outs wait\n"),
        (false, false) => {
            Err(ApiError::Unavailable("RabbitMQ has not been reached yet; see the coordinator's log for why"))
        }
    }
}
