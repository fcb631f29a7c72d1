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
        let created = d.created_at.format("%F %T").to_string();
        vec![d.name.clone(), d.sources.to_string(), masks(d), state.to_owned(), created]
    });
    output::table(&["NAME", "IMAGES", "MASKS", "STATE", "CREATED (UTC)"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}

/// The masks of a dataset with the number of images that have one: `hair 118, skin 128`.
pub fn masks(dataset: &Dataset) -> String {
    let masks: Vec<_> = dataset.masks.iter().map(|(name, images)| format!("{name} {images}")).collect();
    if masks.is_empty() { "-".to_owned() } else { masks.join(", ") }
}
