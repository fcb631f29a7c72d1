//! `GET /packs`: the registered packs.

use super::{Page, render};
use crate::app::App;
use crate::http::packs_list;
use askama::Template;
use axum::extract::State;
use wire::http::v1::Pack;

#[derive(Template)]
#[template(path = "packs.html")]
struct PacksPage {
    tab: &'static str,
    packs: Vec<Pack>,
}

/// The page.
pub async fn page(State(app): State<App>) -> Page {
    render(&PacksPage { tab: "packs", packs: packs_list::list(&app).await? })
}
