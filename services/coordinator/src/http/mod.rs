//! The HTTP interface: one endpoint a file, every route registered here and nowhere else, and what it needs in [`permissions`].

mod api_keys_list;
mod api_keys_new;
mod api_keys_revoke;
mod api_keys_rotate;
pub mod audit;
mod blobs;
mod companion;
pub mod datasets_list;
mod datasets_new;
pub mod etag;
pub mod extract;
mod health;
mod idempotency;
pub mod job_control;
pub mod job_events;
pub mod job_get;
pub mod job_limits;
pub mod job_retry;
mod job_seals;
pub mod jobs_list;
pub mod jobs_submit;
mod keys;
mod metrics_text;
mod ndjson;
pub mod openapi;
mod packs_add;
pub mod packs_list;
mod pairs;
pub mod permissions;
pub mod problem;
mod projects;
pub mod record;
pub mod results;
pub mod reviews;
pub mod serve;
pub mod sources;
mod store_errors;
pub mod tasks;
pub mod tasks_control;
pub mod tls;
mod uploads;
mod whoami;
pub mod worker_drain;
pub mod workers;

use crate::access::authenticate;
use crate::app::App;
use crate::dashboard;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use problem::ApiError;
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tracing::{Instrument as _, Span};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route for programs, with what the OpenAPI document says of it.
pub fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(blobs::put, blobs::get, blobs::head))
        .routes(routes!(uploads::handle))
        .routes(routes!(datasets_new::handle, datasets_list::handle))
        .routes(routes!(datasets_list::one))
        .routes(routes!(sources::add, sources::list))
        .routes(routes!(packs_add::handle, packs_list::handle))
        .routes(routes!(packs_list::one))
        .routes(routes!(jobs_submit::handle, jobs_list::handle))
        .routes(routes!(job_get::handle))
        .routes(routes!(job_events::handle))
        .routes(routes!(job_control::pause))
        .routes(routes!(job_control::resume))
        .routes(routes!(job_control::cancel))
        .routes(routes!(job_retry::handle))
        .routes(routes!(job_limits::get, job_limits::handle))
        .routes(routes!(job_seals::handle))
        .routes(routes!(tasks::handle))
        .routes(routes!(tasks_control::pause))
        .routes(routes!(tasks_control::resume))
        .routes(routes!(tasks_control::cancel))
        .routes(routes!(results::handle))
        .routes(routes!(pairs::handle))
        .routes(routes!(tasks::one))
        .routes(routes!(results::one))
        .routes(routes!(companion::handle))
        .routes(routes!(reviews::handle))
        .routes(routes!(record::handle))
        .routes(routes!(workers::handle))
        .routes(routes!(worker_drain::handle))
        .routes(routes!(projects::list))
        .routes(routes!(projects::one, projects::set))
        .routes(routes!(keys::handle))
        .routes(routes!(keys::well_known))
        .routes(routes!(audit::handle))
        .routes(routes!(whoami::handle))
        .routes(routes!(api_keys_new::handle, api_keys_list::handle))
        .routes(routes!(api_keys_revoke::handle))
        .routes(routes!(api_keys_rotate::handle))
        .routes(routes!(openapi::handle))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics_text::handle))
}

/// The whole router.
pub fn router(app: App) -> Router {
    let (api, _) = api().split_for_parts();
    api.merge(dashboard::routes(&app))
        .fallback(extract::not_found)
        .method_not_allowed_fallback(extract::method_not_allowed)
        // each endpoint has its own limit (extract::body), with a problem that says what to do
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyTimeoutLayer::new(app.config.limits.body_idle))
        .layer(middleware::from_fn(etag::layer))
        .layer(middleware::from_fn_with_state(app.clone(), idempotency::layer))
        .layer(middleware::from_fn_with_state(app.clone(), authenticate::layer))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .layer(CatchPanicLayer::custom(extract::panicked))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        // caches between here and a reader are not to answer for who may read; a browser asks whether its copy still holds
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        ))
        // no page of another site shows what is here, not even as a picture
        .layer(SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ))
        .with_state(app)
}

/// A request in a trace; what is asked every few seconds by programs that watch is in none.
fn span(request: &Request, method: &str, route: &str) -> Span {
    if matches!(route, "/healthz" | "/readyz" | "/metrics") {
        return Span::none();
    }
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::traces::request(method, route, traceparent)
}

/// Bounds every request in time, and counts it by route (never by path, which has ids in it).
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<axum::extract::MatchedPath>().map_or("none", |p| p.as_str()).to_owned();
    let method = request.method().to_string();
    let began = Instant::now();
    let span = span(&request, &method, &route);
    let answer = if route == "/v1/blobs/{sha256}" {
        // Gigabytes take their time; the handler bounds each pause.
        next.run(request).instrument(span.clone()).await
    } else {
        let answering = next.run(request).instrument(span.clone());
        let answer = tokio::time::timeout(app.config.limits.request_timeout, answering).await;
        answer.unwrap_or_else(|_| ApiError::Timeout.into_response())
    };
    let status = answer.status().as_u16().to_string();
    span.record("http.response.status_code", answer.status().as_u16());
    let seconds = began.elapsed().as_secs_f64();
    metrics::histogram!("cfx_http_request_duration_seconds", "route" => route, "method" => method, "status" => status)
        .record(seconds);
    answer
}
