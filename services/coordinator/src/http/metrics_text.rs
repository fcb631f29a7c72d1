//! `GET /metrics`: Prometheus's text format.

use crate::app::App;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// Everything recorded in this process.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "operations",
    responses((status = 200, description = "Prometheus's text format.", body = String, content_type = "text/plain")),
)]
pub async fn handle(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render())
}
