//! Before anything is written: which columns and splits there will be. Readers infer types file by file, so every row has every column.

use super::Work;
use super::plan::Format;
use super::staging::State;
use crate::output;
use anyhow::{Result, bail};
use exports::{Columns, column_of_metric};
use std::collections::{BTreeMap, BTreeSet};
use wire::http::v1::{Page, Pair};

/// Splits of an export at most: each has a table that is open, with up to 16 MiB of rows in memory, while tables are written.
const MOST_SPLITS: usize = 20;
/// Rows of a page: the most a coordinator gives.
const PAGE: u32 = 1_000;

/// Walks the pairs once.
pub async fn run(work: &Work<'_>, repeated: bool) -> Result<State> {
    let plan = work.plan;
    let mut columns = Columns::new(plan.reconstructions());
    let mut splits = BTreeMap::<String, u64>::new();
    let mut scores = BTreeMap::<String, BTreeSet<String>>::new();
    let (mut total, mut after) = (0, None);
    loop {
        let page: Page<Pair> = work.client.get(&plan.page(after.as_deref(), PAGE)).await?;
        for pair in &page.items {
            let metrics: Vec<String> = pair.result.metrics.keys().map(|name| column_of_metric(name)).collect();
            columns.note(&metrics, pair.labels.keys());
            let split = plan.split(pair);
            scores.entry(split.clone()).or_default().extend(metrics);
            *splits.entry(split).or_default() += 1;
        }
        if splits.len() > MOST_SPLITS {
            bail!(
                "the dataset's label 'split' has more than {MOST_SPLITS} values; a split is a name such as train or test"
            );
        }
        total += page.items.len() as u64;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let typed = !matches!(plan.format(), Format::Imagefolder | Format::Croissant);
    if !typed && scores.values().any(|of| Some(of) != scores.values().next()) {
        output::note(
            "cfx: some scores are absent from whole splits; loaders that infer types from JSON lines may refuse to put those splits \
             together, --format parquet has types",
        );
    }
    let state = State {
        identity: plan.identity.clone(),
        columns,
        splits,
        total,
        repeated,
        cursor: None,
        pairs: 0,
        rows_bytes: 0,
        shards: BTreeMap::new(),
        pending: Vec::new(),
        files: BTreeMap::new(),
    };
    work.staging.save(&state)?;
    Ok(state)
}
