//! `GET /healthz` and `GET /readyz`.

use super::problem::ApiError;
use crate::app::App;
use axum::extract::State;

/// The process lives.
pub async fn alive() -> &'static str {
    "ok\n"
}

/// It can do its work: the schema is there, the broker listens. The bucket is left out: a request that needs it says so
/// itself, and everything else still works.
pub async fn ready(State(app): State<App>) -> Result<&'static str, ApiError> {
    app.store.check().await?;
    if !app.publisher.is_connected() {
        return Err(ApiError::Unavailable("RabbitMQ is away; work that is handed out goes on, new hand-outs wait"));
    }
    Ok("ready\n")
}
