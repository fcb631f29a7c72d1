//! `cfx dataset show`.

use super::{Context, dataset_list};
use crate::{exit, output};
use anyhow::Result;
use wire::http::v1::{Dataset, Source};

pub async fn run(at: &Context, name: &str, limit: u64) -> Result<u8> {
    let dataset: Dataset = at.client.get(&format!("/v1/datasets/{name}")).await?;
    let sources: Vec<Source> = at.client.all(&format!("/v1/datasets/{name}/sources"), limit).await?;
    if at.json {
        output::json(&serde_json::json!({ "dataset": dataset, "sources": sources }))?;
        return Ok(exit::OK);
    }
    output::line(format!("{}  {} images, masks: {}", dataset.name, dataset.sources, dataset_list::masks(&dataset)));
    let rows = sources.iter().map(|s| {
        let labels: Vec<_> = s.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let masks: Vec<_> = s.masks.keys().map(String::as_str).collect();
        vec![s.ordinal.to_string(), s.uri.clone(), masks.join(","), labels.join(" ")]
    });
    output::table(&["NO", "IMAGE", "MASKS", "LABELS"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}
