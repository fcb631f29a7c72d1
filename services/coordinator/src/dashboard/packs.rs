//! `GET /packs`: the registered packs; `GET /packs/{name}`: the parts of one.

use super::{Page, render};
use crate::app::App;
use crate::http::packs_list;
use crate::http::problem::{ApiError, internal};
use askama::Template;
use axum::extract::{Path, State};
use packs::Manifest;
use wire::http::v1::Pack;

#[derive(Template)]
#[template(path = "packs.html")]
struct PacksPage {
    tab: &'static str,
    packs: Vec<Pack>,
}

struct Part {
    role: String,
    file: String,
    sha256: String,
}

#[derive(Template)]
#[template(path = "pack.html")]
struct PackPage {
    tab: &'static str,
    pack: Pack,
    parts: Vec<Part>,
    /// Texts that the judge can tell.
    targets: Vec<String>,
    manifest: String,
}

/// The list.
pub async fn page(State(app): State<App>) -> Page {
    render(&PacksPage { tab: "packs", packs: packs_list::list(&app).await? })
}

/// One.
pub async fn one(State(app): State<App>, Path(name): Path<String>) -> Page {
    let row = app.store.pack(&name).await?;
    let row = row.ok_or_else(|| ApiError::NotFound(format!("there is no pack '{name}'")))?;
    let manifest = Manifest::from_toml(&row.manifest).map_err(|e| internal("reading a registered pack", &e))?;
    let part = |file: packs::PackFile<'_>| Part {
        role: file.role.key().to_owned(),
        file: file.file.to_string(),
        sha256: file.sha256.to_string(),
    };
    let targets = manifest.judge.iter().flat_map(|judge| judge.targets.iter().map(|target| target.text.clone()));
    render(&PackPage {
        tab: "packs",
        parts: manifest.files().into_iter().map(part).collect(),
        targets: targets.collect(),
        manifest: row.manifest.clone(),
        pack: packs_list::view(row),
    })
}
