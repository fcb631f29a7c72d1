//! `cfx dataset add`: hash, upload what the bucket lacks, register. Repeating it adds only what is new.

use super::Context;
use crate::exit;
use crate::manifest::BadRow;
use crate::masks::MaskFolder;
use crate::output;
use crate::sources::{LocalSource, find};
use anyhow::{Result, bail};
use domain::Digest;
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use wire::http::v1::{Dataset, Duplicate, MaskConflict, NewDataset, NewSource, NewSources, SourcesAdded};

/// Files hashed and uploaded at once.
const PARALLEL: usize = 8;
/// Sources registered in one request.
const SLICE: usize = 1000;

#[derive(Serialize)]
struct Report {
    dataset: String,
    added: i64,
    already_there: usize,
    duplicates: Vec<Duplicate>,
    refused: Vec<Refused>,
    skipped_files: usize,
    masks: i64,
    without_mask: BTreeMap<String, usize>,
    mask_conflicts: Vec<MaskConflict>,
    landmarks: i64,
    landmark_conflicts: Vec<String>,
}

impl Report {
    fn new(dataset: &str) -> Self {
        Self {
            dataset: dataset.to_owned(),
            added: 0,
            already_there: 0,
            duplicates: vec![],
            refused: vec![],
            skipped_files: 0,
            masks: 0,
            without_mask: BTreeMap::new(),
            mask_conflicts: vec![],
            landmarks: 0,
            landmark_conflicts: vec![],
        }
    }
}

#[derive(Serialize)]
struct Refused {
    item: String,
    problem: String,
}

impl From<BadRow> for Refused {
    fn from(row: BadRow) -> Self {
        Self { item: row.at, problem: row.problem }
    }
}

pub async fn run(at: &Context, name: &str, arguments: &[String], masks: &[String], skip_bad: bool) -> Result<u8> {
    if let Some(prefix) = arguments.iter().find(|a| a.starts_with("s3://")) {
        if arguments.len() > 1 {
            bail!(crate::args::UsageError(format!("give {prefix} alone: a prefix is imported by the coordinator")));
        }
        if !masks.is_empty() {
            bail!(crate::args::UsageError("masks go with local images; a prefix is imported without them".to_owned()));
        }
        return import(at, name, prefix).await;
    }
    let masks = masks.iter().map(|argument| MaskFolder::parse(argument)).collect::<Result<Vec<_>>>()?;
    let found = find(arguments)?;
    let request = NewDataset { name: name.to_owned(), import: None };
    let _: Dataset = at.client.post("/v1/datasets", &request).await?;

    let bar = bar(found.sources.len() as u64, at.json);
    let mut refused: Vec<_> = found.bad.into_iter().map(Refused::from).collect();
    let mut report = Report { skipped_files: found.skipped, ..Report::new(name) };
    for folder in &masks {
        let without = found.sources.iter().filter(|source| folder.of(&source.path).is_none()).count();
        report.without_mask.insert(folder.name.clone(), without);
    }
    for slice in found.sources.chunks(SLICE) {
        let uploads = stream::iter(slice.iter().map(|source| upload(at, source, &masks)));
        let mut ready = Vec::with_capacity(slice.len());
        // in order, so that ordinals follow the order of names
        let mut uploads = uploads.buffered(PARALLEL);
        while let Some(uploaded) = uploads.next().await {
            bar.inc(1);
            match uploaded? {
                Ok(source) => ready.push(source),
                Err(problem) => refused.push(problem),
            }
        }
        if ready.is_empty() {
            continue;
        }
        let path = format!("/v1/datasets/{name}/sources");
        let answer: SourcesAdded = at.client.post(&path, &NewSources { sources: ready }).await?;
        report.added += answer.added;
        report.masks += answer.masks;
        report.mask_conflicts.extend(answer.mask_conflicts);
        report.landmarks += answer.landmarks;
        report.landmark_conflicts.extend(answer.landmark_conflicts);
        // the same file under the same name is an earlier run of this command, not a duplicate in the data
        let (again, doubled): (Vec<_>, Vec<_>) = answer.duplicates.into_iter().partition(|d| d.uri == d.same_as);
        report.already_there += again.len();
        report.duplicates.extend(doubled);
        refused.extend(answer.missing.into_iter().map(|digest| Refused {
            item: digest.to_string(),
            problem: "the upload did not reach the bucket; run the command again".to_owned(),
        }));
    }
    bar.finish_and_clear();
    report.refused = refused;
    finish(at, &report, skip_bad)
}

/// The source as it is to be registered, after its bytes and its masks' are in the bucket; or why this one file cannot be read.
async fn upload(at: &Context, source: &LocalSource, masks: &[MaskFolder]) -> Result<Result<NewSource, Refused>> {
    let (sha256, bytes) = match put(at, &source.path).await? {
        Ok(stored) => stored,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut own = BTreeMap::new();
    for folder in masks {
        let Some(path) = folder.of(&source.path) else { continue };
        match put(at, path).await? {
            Ok((mask, _)) => own.insert(folder.name.clone(), mask),
            Err(refused) => return Ok(Err(refused)),
        };
    }
    let full = std::path::absolute(&source.path).unwrap_or_else(|_| source.path.clone());
    let uri = format!("file://{}", full.display());
    let (labels, landmarks) = (source.labels.clone(), source.landmarks.clone());
    Ok(Ok(NewSource { sha256, uri, bytes, labels, masks: own, landmarks }))
}

/// Puts a file into the bucket; its digest and size, or why it cannot be.
async fn put(at: &Context, path: &Path) -> Result<Result<(Digest, i64), Refused>> {
    let refused = |problem: String| Ok(Err(Refused { item: path.display().to_string(), problem }));
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) if bytes.is_empty() => return refused("the file is empty".to_owned()),
        Ok(bytes) => bytes,
        Err(error) => return refused(format!("the file cannot be read: {error}")),
    };
    let sha256 = Digest::of(&bytes);
    let size = i64::try_from(bytes.len())?;
    if !at.client.has_blob(sha256).await? {
        match at.client.put_blob(sha256, bytes).await {
            Ok(()) => {}
            Err(crate::client::ClientError::Problem(problem)) if problem.status == 413 => {
                return refused(problem.detail);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok((sha256, size)))
}

async fn import(at: &Context, name: &str, prefix: &str) -> Result<u8> {
    let request = NewDataset { name: name.to_owned(), import: Some(prefix.to_owned()) };
    let mut dataset: Dataset = at.client.post("/v1/datasets", &request).await?;
    while dataset.importing {
        output::note(format!("importing {prefix}: {} images so far", dataset.sources));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        dataset = at.client.get(&format!("/v1/datasets/{name}")).await?;
    }
    let refused = dataset.import_errors.iter();
    let refused = refused.map(|e| Refused { item: prefix.to_owned(), problem: e.clone() });
    let report = Report { added: dataset.sources, refused: refused.collect(), ..Report::new(name) };
    finish(at, &report, false)
}

fn finish(at: &Context, report: &Report, skip_bad: bool) -> Result<u8> {
    if at.json {
        output::json(report)?;
    } else {
        output::line(format!("{}: {} images added", report.dataset, report.added));
        if report.already_there > 0 {
            output::line(format!("  already   {} were there before", report.already_there));
        }
        for d in &report.duplicates {
            output::line(format!("  duplicate {} has the same bytes as {}", d.uri, d.same_as));
        }
        if !report.without_mask.is_empty() {
            output::line(format!("  masks     {} added", report.masks));
        }
        for (mask, images) in report.without_mask.iter().filter(|(_, images)| **images > 0) {
            output::line(format!("  without   {images} images have no mask '{mask}': no file of the same stem"));
        }
        for c in &report.mask_conflicts {
            output::line(format!("  kept      {} has another mask '{}'; one is never replaced", c.uri, c.mask));
        }
        if report.landmarks > 0 {
            output::line(format!("  landmarks {} added", report.landmarks));
        }
        for uri in &report.landmark_conflicts {
            output::line(format!("  kept      {uri} has other landmarks; they are never replaced"));
        }
        for r in &report.refused {
            output::line(format!("  refused   {}: {}", r.item, r.problem));
        }
        if report.skipped_files > 0 {
            output::line(format!("  skipped   {} files that are not named like images", report.skipped_files));
        }
    }
    let conflicts = report.mask_conflicts.len() + report.landmark_conflicts.len();
    let all_taken = report.refused.is_empty() && conflicts == 0;
    Ok(if all_taken || skip_bad { exit::OK } else { exit::FAILURE })
}

fn bar(total: u64, json: bool) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("uploading {wide_bar} {pos}/{len} {per_sec} {eta}");
    // safe because the template is a constant that parses
    ProgressBar::new(total).with_style(style.expect("a constant template"))
}
