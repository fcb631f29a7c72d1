//! `cfx result fetch`: images into `TO/<edit>/`, one line per result in `TO/results.jsonl`. Files that are already there with
//! the right bytes are not fetched again, so an interrupted fetch goes on where it stopped.

use super::Context;
use super::result_list::{self, Wanted};
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use domain::{Digest, OutputFormat};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use wire::http::v1::{EditResult, Job};

const PARALLEL: usize = 8;

pub async fn run(at: &Context, job: &str, to: &Path, wanted: &Wanted, reconstructions: bool) -> Result<u8> {
    let format = at.client.get::<Job>(&format!("/v1/jobs/{job}")).await?.spec.output.format;
    let results = result_list::all(at, job, wanted, 0).await?;
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be created", to.display()))?;
    let bar = if at.json { ProgressBar::hidden() } else { ProgressBar::new(results.len() as u64) };
    let mut downloads =
        stream::iter(results.iter().map(|r| fetch(at, r, format, to, reconstructions))).buffered(PARALLEL);
    let mut lines = Vec::new();
    let mut fetched = 0_usize;
    while let Some(done) = downloads.next().await {
        let files = done?;
        let mut line = serde_json::to_value(&results[lines.len()])?;
        line["file"] = files.image.to_string_lossy().into();
        if let Some(reconstruction) = &files.reconstruction {
            line["reconstruction_file"] = reconstruction.to_string_lossy().into();
        }
        lines.push(line);
        fetched += usize::from(files.new);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let index = to.join("results.jsonl");
    let mut text = Vec::new();
    for line in &lines {
        writeln!(text, "{line}")?;
    }
    std::fs::write(&index, &text).with_context(|| format!("{} cannot be written", index.display()))?;
    if at.json {
        output::json(&serde_json::json!({ "results": lines.len(), "fetched": fetched, "index": index }))?;
    } else {
        output::line(format!("{} results in {} ({fetched} fetched now)", lines.len(), to.display()));
    }
    Ok(exit::OK)
}

struct Files {
    image: PathBuf,
    reconstruction: Option<PathBuf>,
    new: bool,
}

async fn fetch(
    at: &Context,
    result: &EditResult,
    format: OutputFormat,
    to: &Path,
    reconstructions: bool,
) -> Result<Files> {
    let image = PathBuf::from(&result.edit).join(file_name(result, format));
    let new = fetch_one(at, result, result.image, &to.join(&image)).await?;
    let reconstruction = if reconstructions {
        let file = PathBuf::from("reconstructions").join(format!("{:06}-{}.png", result.ordinal, stem(result)));
        fetch_one(at, result, result.reconstruction, &to.join(&file)).await?;
        Some(file)
    } else {
        None
    };
    Ok(Files { image, reconstruction, new })
}

/// True if the file had to be fetched.
async fn fetch_one(at: &Context, result: &EditResult, digest: Digest, path: &Path) -> Result<bool> {
    if std::fs::read(path).is_ok_and(|bytes| Digest::of(bytes) == digest) {
        return Ok(false);
    }
    let bytes = at.client.blob(digest).await?;
    if Digest::of(&bytes) != digest {
        bail!("a file of task {} arrived damaged; run the command again", result.task);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    }
    write_whole(path, &bytes, result)?;
    Ok(true)
}

/// `<ordinal>-<source name>[-x<strength>][-seed<seed>].<ending>`: sorts by source, says what it is.
fn file_name(result: &EditResult, format: OutputFormat) -> String {
    let strength = if result.strength == 1.0 { String::new() } else { format!("-x{}", result.strength) };
    let seed = if result.seed == 0 { String::new() } else { format!("-seed{}", result.seed) };
    format!("{:06}-{}{strength}{seed}.{}", result.ordinal, stem(result), format.extension())
}

/// The source's name without extension and without characters that some file system refuses.
fn stem(result: &EditResult) -> String {
    let source = result.source_uri.rsplit('/').next().unwrap_or_default();
    let stem = source.rsplit_once('.').map_or(source, |(stem, _)| stem);
    stem.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).take(80).collect()
}

/// Writes beside the target and renames, so that a reader never sees half a file.
/// Two results of one source may write the same reconstruction at once, so the part file is the task's own.
fn write_whole(path: &Path, bytes: &[u8], result: &EditResult) -> Result<()> {
    let part = path.with_extension(format!("{}.part", result.task));
    let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
