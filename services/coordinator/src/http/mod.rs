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
pub mod extract;
mod health;
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
use axum::routing::{delete, get, post, put};
use domain::job_state::JobEvent;
use problem::ApiError;
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tracing::{Instrument as _, Span};

/// The whole router.
pub fn router(app: App) -> Router {
    let control =
        |event| post(move |state, project, actor, path| job_control::handle(event, state, project, actor, path));
    Router::new()
        .route("/v1/blobs/{sha256}", put(blobs::put).get(blobs::get).head(blobs::head))
        .route("/v1/datasets", post(datasets_new::handle).get(datasets_list::handle))
        .route("/v1/datasets/{name}", get(datasets_list::one))
        .route("/v1/datasets/{name}/sources", post(sources::add).get(sources::list))
        .route("/v1/packs", post(packs_add::handle).get(packs_list::handle))
        .route("/v1/packs/{name}", get(packs_list::one))
        .route("/v1/jobs", post(jobs_submit::handle).get(jobs_list::handle))
        .route("/v1/jobs/{id}", get(job_get::handle))
        .route("/v1/jobs/{id}/events", get(job_events::handle))
        .route("/v1/jobs/{id}/pause", control(JobEvent::Pause))
        .route("/v1/jobs/{id}/resume", control(JobEvent::Resume))
        .route("/v1/jobs/{id}/cancel", control(JobEvent::Cancel))
        .route("/v1/jobs/{id}/retry", post(job_retry::handle))
        .route("/v1/jobs/{id}/limits", post(job_limits::handle))
        .route("/v1/jobs/{id}/seals", get(job_seals::handle))
        .route("/v1/jobs/{id}/tasks", get(tasks::handle))
        .route("/v1/jobs/{id}/tasks/pause", post(tasks_control::pause))
        .route("/v1/jobs/{id}/tasks/resume", post(tasks_control::resume))
        .route("/v1/jobs/{id}/tasks/cancel", post(tasks_control::cancel))
        .route("/v1/jobs/{id}/results", get(results::handle))
        .route("/v1/jobs/{id}/pairs", get(pairs::handle))
        .route("/v1/tasks/{task}", get(tasks::one))
        .route("/v1/results/{task}", get(results::one))
        .route("/v1/results/{task}/companions/{kind}", get(companion::handle))
        .route("/v1/results/{task}/review", put(reviews::handle))
        .route("/v1/records/{digest}", get(record::handle))
        .route("/v1/workers", get(workers::handle))
        .route("/v1/workers/{boot}/drain", post(worker_drain::handle))
        .route("/v1/projects", get(projects::list))
        .route("/v1/projects/{name}", get(projects::one).post(projects::set))
        .route("/v1/keys", get(keys::handle))
        .route("/.well-known/counterfactory/keys", get(keys::handle))
        .route("/v1/audit", get(audit::handle))
        .route("/v1/whoami", get(whoami::handle))
        .route("/v1/api-keys", post(api_keys_new::handle).get(api_keys_list::handle))
        .route("/v1/api-keys/{id}", delete(api_keys_revoke::handle))
        .route("/v1/api-keys/{id}/rotate", post(api_keys_rotate::handle))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics_text::handle))
        .merge(dashboard::routes(&app))
        .fallback(extract::not_found)
        .method_not_allowed_fallback(extract::method_not_allowed)
        // each endpoint has its own limit (extract::body), with a problem that says what to do
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyTimeoutLayer::new(app.config.limits.body_idle))
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
