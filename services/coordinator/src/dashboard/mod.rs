//! Pages for people: rendered here from the same answers the HTTP interface gives, no build step, no foreign code. A strict
//! content security policy holds because everything a page needs comes from this process.

mod assets;
mod datasets;
mod filters;
mod gallery;
mod job;
mod jobs;
mod packs;
mod progress;
mod refused;
mod result;
mod workers;

use crate::app::App;
use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Html;
use axum::routing::get;
use refused::Refused;
use tower_http::set_header::SetResponseHeaderLayer;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
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
        .route("/assets/style.css", get(assets::style))
        .route("/assets/live.js", get(assets::live))
        .layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(SetResponseHeaderLayer::overriding(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")))
}

/// A rendered page, or a page that says why not.
type Page = Result<Html<String>, Refused>;

fn render(template: &impl Template) -> Page {
    template.render().map(Html).map_err(|error| Refused(crate::http::problem::internal("rendering a page", &error)))
}
