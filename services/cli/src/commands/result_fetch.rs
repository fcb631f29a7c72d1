//! `cfx result fetch`: images into `TO/<edit>/`, one line per result in `TO/results.jsonl`. Files that are already there with
//! the right bytes are not fetched again, so an interrupted fetch goes on where it stopped.

use super::{Context, result_list};
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use domain::Digest;
use domain::record::Verdict;
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use wire::http::v1::EditResult;

const PARALLEL: usize = 8;

pub async fn run(at: &Context, job: &str, to: &Path, edit: Option<&str>, accepted: bool) -> Result<u8> {
    let mut results = result_list::all(at, job, edit, 0).await?;
    results.retain(|r| !accepted || r.verdict == Some(Verdict::Accept));
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be created", to.display()))?;
    let bar = if at.json { ProgressBar::hidden() } else { ProgressBar::new(results.len() as u64) };
    let mut downloads = stream::iter(results.iter().map(|r| fetch(at, r, to))).buffered(PARALLEL);
    let mut lines = Vec::new();
    let mut fetched = 0_usize;
    while let Some(done) = downloads.next().await {
        let (file, new) = done?;
        let result = &results[lines.len()];
        let mut line = serde_json::to_value(result)?;
        line["file"] = file.to_string_lossy().into();
        lines.push(line);
        fetched += usize::from(new);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let index = to.join("results.jsonl");
    let mut text = Vec::new();
    for line in &lines {
        writeln!(text, "{line}")?;
    }
    write_whole(&index, &text)?;
    if at.json {
        output::json(&serde_json::json!({ "results": lines.len(), "fetched": fetched, "index": index }))?;
    } else {
        output::line(format!("{} results in {} ({fetched} fetched now)", lines.len(), to.display()));
    }
    Ok(exit::OK)
}

async fn fetch(at: &Context, result: &EditResult, to: &Path) -> Result<(PathBuf, bool)> {
    let file = PathBuf::from(&result.edit).join(file_name(result));
    let path = to.join(&file);
    if std::fs::read(&path).is_ok_and(|bytes| Digest::of(bytes) == result.image) {
        return Ok((file, false));
    }
    let bytes = at.client.blob(result.image).await?;
    if Digest::of(&bytes) != result.image {
        bail!("the image of task {} arrived damaged; run the command again", result.task);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    }
    write_whole(&path, &bytes)?;
    Ok((file, true))
}

/// `<ordinal>-<source name>[-x<strength>][-seed<seed>].png`: sorts by source, says what it is.
fn file_name(result: &EditResult) -> String {
    let source = result.source_uri.rsplit('/').next().unwrap_or_default();
    let stem = source.rsplit_once('.').map_or(source, |(stem, _)| stem);
    let safe: String =
        stem.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).take(80).collect();
    let strength = if result.strength == 1.0 { String::new() } else { format!("-x{}", result.strength) };
    let seed = if result.seed == 0 { String::new() } else { format!("-seed{}", result.seed) };
    format!("{:06}-{safe}{strength}{seed}.png", result.ordinal)
}

/// Writes beside the target and renames, so that a reader never sees half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_extension("part");
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
