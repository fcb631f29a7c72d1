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

/// It can do its work: the schema is there, the broker listens. The bucket is left out: a request that needs it says so
/// itself, and everything else still works.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "is_ready",
    tag = "operations",
    responses((status = 200, description = "It can do its work.", body = String, content_type = "text/plain")),
)]
pub async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.store.check().await?;
    if !app.publisher.is_connected() {
        return Err(ApiError::Unavailable("RabbitMQ is away; work that is handed out goes on, new hand-outs wait"));
    }
    Ok("ready\n")
}
