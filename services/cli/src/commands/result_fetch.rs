//! `cfx result fetch`: images into `TO/<edit>/`, one line per result in `TO/results.jsonl`; on demand reconstructions and latents, each
//! with its credential. Files that are already there with the right bytes are not fetched again, so an interrupted fetch goes on where
//! it stopped.

use super::Context;
use super::result_list::{self, Wanted};
use crate::verify::CREDENTIAL;
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use credentials::Companion;
use domain::{Digest, OutputFormat};
use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use wire::http::v1::{EditResult, Job};

const PARALLEL: usize = 8;

/// What is fetched beside the outputs.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// The unedited renders, `reconstructions/`.
    pub reconstructions: bool,
    /// The latents before and after the edit, `latents/`.
    pub latents: bool,
}

pub async fn run(at: &Context, job: &str, to: &Path, wanted: &Wanted, beside: Beside) -> Result<u8> {
    let format = at.client.get::<Job>(&format!("/v1/jobs/{job}")).await?.spec.output.format;
    let results = result_list::all(at, job, wanted, 0).await?;
    std::fs::create_dir_all(to).with_context(|| format!("{} cannot be created", to.display()))?;
    let bar = if at.json { ProgressBar::hidden() } else { ProgressBar::new(results.len() as u64) };
    let mut downloads = stream::iter(results.iter().map(|r| fetch(at, r, format, to, beside))).buffered(PARALLEL);
    let mut lines = Vec::new();
    let mut fetched = 0_usize;
    while let Some(done) = downloads.next().await {
        let files = done?;
        let mut line = serde_json::to_value(&results[lines.len()])?;
        line["file"] = files.image.to_string_lossy().into();
        for (name, file) in &files.beside {
            line[*name] = file.to_string_lossy().into();
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
    /// Companions, by their names in the index.
    beside: Vec<(&'static str, PathBuf)>,
    new: bool,
}

async fn fetch(at: &Context, result: &EditResult, format: OutputFormat, to: &Path, wanted: Beside) -> Result<Files> {
    let name = file_name(result, format);
    let source = format!("{:06}-{}", result.ordinal, stem(result));
    let mut beside = Vec::new();
    if wanted.reconstructions {
        let file = PathBuf::from("reconstructions").join(format!("{source}.png"));
        fetch_one(at, result, at.client.signed_reconstruction(result).await?, &to.join(&file)).await?;
        beside.push(("reconstruction_file", file));
    }
    if wanted.latents {
        let latents = Path::new("latents");
        let edited = latents.join(&result.edit).join(&name).with_extension("safetensors");
        fetch_latent(at, result, Companion::Latent, &to.join(&edited)).await?;
        beside.push(("latent_file", edited));
        let found = latents.join("sources").join(format!("{source}.safetensors"));
        fetch_latent(at, result, Companion::SourceLatent, &to.join(&found)).await?;
        beside.push(("source_latent_file", found));
    }
    let image = PathBuf::from(&result.edit).join(name);
    let new = fetch_one(at, result, result.image, &to.join(&image)).await?;
    Ok(Files { image, beside, new })
}

/// A latent, and its credential beside it.
async fn fetch_latent(at: &Context, result: &EditResult, companion: Companion, path: &Path) -> Result<()> {
    let signed = at.client.companion(result.task, companion).await?;
    fetch_one(at, result, signed.sha256, path).await?;
    if let Some(credential) = signed.credential {
        fetch_one(at, result, credential, &path.with_extension(CREDENTIAL)).await?;
    }
    Ok(())
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
