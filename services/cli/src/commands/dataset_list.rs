//! `cfx dataset list`.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use wire::http::v1::Dataset;

pub async fn run(at: &Context) -> Result<u8> {
    let datasets: Vec<Dataset> = at.client.all("/v1/datasets", 0).await?;
    if at.json {
        output::json(&datasets)?;
        return Ok(exit::OK);
    }
    let rows = datasets.iter().map(|d| {
        let state = if d.importing { "importing" } else { "ready" };
        vec![d.name.clone(), d.sources.to_string(), state.to_owned(), d.created_at.format("%F %T").to_string()]
    });
    output::table(&["NAME", "IMAGES", "STATE", "CREATED (UTC)"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}
