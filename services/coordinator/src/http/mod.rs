//! The HTTP interface: one endpoint a file, every route registered here and nowhere else.

pub mod audit;
mod blobs;
pub mod datasets_list;
mod datasets_new;
pub mod extract;
mod health;
pub mod job_control;
pub mod job_events;
pub mod job_get;
mod job_limits;
pub mod job_retry;
mod job_seals;
pub mod jobs_list;
pub mod jobs_submit;
mod keys;
mod metrics_text;
mod packs_add;
pub mod packs_list;
mod pairs;
pub mod problem;
mod projects;
pub mod record;
pub mod results;
pub mod reviews;
pub mod sources;
mod store_errors;
pub mod tasks;
mod tasks_control;
pub mod worker_drain;
pub mod workers;

use crate::app::App;
use crate::dashboard;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use domain::job_state::JobEvent;
use problem::ApiError;
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

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
        .route("/v1/results/{task}/review", put(reviews::handle))
        .route("/v1/records/{digest}", get(record::handle))
        .route("/v1/workers", get(workers::handle))
        .route("/v1/workers/{boot}/drain", post(worker_drain::handle))
        .route("/v1/projects", get(projects::list))
        .route("/v1/projects/{name}", get(projects::one).post(projects::set))
        .route("/v1/keys", get(keys::handle))
        .route("/.well-known/counterfactory/keys", get(keys::handle))
        .route("/v1/audit", get(audit::handle))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics_text::handle))
        .merge(dashboard::routes(&app))
        .fallback(extract::not_found)
        .method_not_allowed_fallback(extract::method_not_allowed)
        // each endpoint has its own limit (extract::body), with a problem that says what to do
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .layer(CatchPanicLayer::custom(extract::panicked))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .with_state(app)
}

/// Bounds every request in time, and counts it by route (never by path, which has ids in it).
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<axum::extract::MatchedPath>().map_or("none", |p| p.as_str()).to_owned();
    let method = request.method().to_string();
    let began = Instant::now();
    let answer = if route == "/v1/blobs/{sha256}" {
        // Gigabytes take their time; the handler bounds each pause.
        next.run(request).await
    } else {
        let answer = tokio::time::timeout(app.config.limits.request_timeout, next.run(request)).await;
        answer.unwrap_or_else(|_| ApiError::Timeout.into_response())
    };
    let status = answer.status().as_u16().to_string();
    let seconds = began.elapsed().as_secs_f64();
    metrics::histogram!("cfx_http_seconds", "route" => route, "method" => method, "status" => status).record(seconds);
    answer
}
