//! `cfx whoami`: what the key in use allows.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use wire::http::v1::WhoAmI;

pub async fn run(at: &Context) -> Result<u8> {
    let who: WhoAmI = at.client.get("/v1/whoami").await?;
    if at.json {
        output::json(&who)?;
    } else {
        output::line(sentence(&who));
    }
    Ok(exit::OK)
}

/// `ada (key_…) may read and submit in faces until 2026-12-24`.
pub fn sentence(who: &WhoAmI) -> String {
    let place = who.projects.as_ref().map_or_else(|| "all projects".to_owned(), |names| names.join(", "));
    let end = who.expires_at.map(|at| format!(" until {}", at.format("%F %R"))).unwrap_or_default();
    format!("{}: {} in {place}{end}", who.name, who.scope)
}
