//! The two files that pages refer to, inside the binary.

use axum::http::header;
use axum::response::IntoResponse;

const CACHE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "max-age=300");

/// `GET /assets/style.css`
pub async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), CACHE], include_str!("../../assets/style.css"))
}

/// `GET /assets/live.js`
pub async fn live() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), CACHE], include_str!("../../assets/live.js"))
}
