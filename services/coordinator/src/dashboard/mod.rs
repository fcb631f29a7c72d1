//! Pages for people: rendered here from the same answers the HTTP interface gives, without a build step. A strict content security
//! policy holds because everything a page needs comes from this process ([`assets`]); what moves comes as server-sent events
//! ([`crate::live`]); what changes something goes through `/ui/...` ([`ui`]). How a page proves that a change was asked for by it,
//! see [`crate::access::session`].

mod actions;
mod assets;
mod audit;
mod choose;
mod datasets;
mod drain;
mod events;
mod filters;
pub mod fragments;
mod gallery;
mod job;
mod jobs;
mod limits;
mod login;
mod new_job;
mod packs;
mod preview;
mod progress;
mod refused;
mod result;
mod review;
mod task;
mod throughput;
pub mod thumbs;
mod ui;
mod workers;

/// The text that changes of a page must carry, and what its reader may do: for templates.
pub use crate::access::session::{csrf_token, may};
pub use assets::asset;

use crate::app::App;
use askama::Template;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use domain::job_state::JobEvent;
use refused::Refused;
use task::Doing;
use tower_http::set_header::SetResponseHeaderLayer;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

/// Every page, and what pages ask for.
pub fn routes(app: &App) -> Router<App> {
    let control = |event| post(move |state, project, actor, path| actions::control(event, state, project, actor, path));
    let task = |doing| {
        post(move |state, project, principal, actor, path| task::control(doing, state, project, principal, actor, path))
    };
    let redrive = |dry_run| {
        post(move |state, project, actor, path, form| actions::redrive(dry_run, state, project, actor, path, form))
    };
    Router::new()
        .route("/", get(jobs::page))
        .route("/jobs/new", get(new_job::page))
        .route("/jobs/{id}", get(job::page))
        .route("/jobs/{id}/gallery", get(gallery::page))
        .route("/results/{task}", get(result::page))
        .route("/tasks/{task}", get(task::page))
        .route("/workers", get(workers::page))
        .route("/datasets", get(datasets::page))
        .route("/datasets/{name}", get(datasets::one))
        .route("/packs", get(packs::page))
        .route("/login", get(login::page).post(login::login))
        .route("/logout", post(login::logout))
        .route("/packs/{name}", get(packs::one))
        .route("/audit", get(audit::page))
        .route("/ui/events", get(events::handle))
        .route("/ui/thumbs/{sha256}", get(thumbs::handle))
        .route("/ui/jobs", post(new_job::submit))
        .route("/ui/jobs/estimate", post(new_job::estimate))
        .route("/ui/jobs/preview", post(preview::start))
        .route("/ui/jobs/{id}/preview", get(preview::look))
        .route("/ui/jobs/{id}/pause", control(JobEvent::Pause))
        .route("/ui/jobs/{id}/resume", control(JobEvent::Resume))
        .route("/ui/jobs/{id}/cancel", control(JobEvent::Cancel))
        .route("/ui/jobs/{id}/redrive/dry-run", redrive(true))
        .route("/ui/jobs/{id}/redrive", redrive(false))
        .route("/ui/jobs/{id}/limits", post(limits::handle))
        .route("/ui/tasks/{task}/pause", task(Doing::Pause))
        .route("/ui/tasks/{task}/resume", task(Doing::Resume))
        .route("/ui/tasks/{task}/cancel", task(Doing::Cancel))
        .route("/ui/results/{task}/review", post(review::handle))
        .route("/ui/results/{task}/credential", get(result::credential))
        .route("/ui/workers/{boot}/drain", post(drain::handle))
        .layer(middleware::from_fn_with_state(app.clone(), choose::project))
        .route("/assets/{digest}/{name}", get(assets::handle))
        .layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(SetResponseHeaderLayer::overriding(header::REFERRER_POLICY, HeaderValue::from_static("same-origin")))
}

/// A refusal as a page.
pub fn refusal(error: crate::http::problem::ApiError) -> Response {
    Refused(error).into_response()
}

/// Where people log in, and go on to `then` afterwards.
pub fn login_address(then: Option<&axum::http::Uri>) -> String {
    login::address(then)
}

/// A rendered page, or a page that says why not.
type Page = Result<Html<String>, Refused>;

fn render(template: &impl Template) -> Page {
    template.render().map(Html).map_err(|error| Refused(crate::http::problem::internal("rendering a page", &error)))
}
