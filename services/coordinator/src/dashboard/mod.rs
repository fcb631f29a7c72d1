//! Pages for people: rendered here from the same answers the HTTP interface gives, no build step, no foreign code. A strict
//! content security policy holds because everything a page needs comes from this process. How a page proves that a change was asked for
//! by it, see [`crate::access::session`].

mod assets;
mod datasets;
mod filters;
mod gallery;
mod job;
mod jobs;
mod login;
mod packs;
mod progress;
mod refused;
mod result;
mod workers;

/// The text that changes of a page must carry: for templates.
pub use crate::access::session::csrf_token;

use crate::app::App;
use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use refused::Refused;
use tower_http::set_header::SetResponseHeaderLayer;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);

/// Every page.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/", get(jobs::page))
        .route("/jobs/{id}", get(job::page))
        .route("/jobs/{id}/gallery", get(gallery::page))
        .route("/results/{task}", get(result::page))
        .route("/workers", get(workers::page))
        .route("/datasets", get(datasets::page))
        .route("/packs", get(packs::page))
        .route("/login", get(login::page).post(login::login))
        .route("/logout", post(login::logout))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/live.js", get(assets::live))
        .layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(SetResponseHeaderLayer::overriding(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
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
