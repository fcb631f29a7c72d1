//! The second pass: tables and documents from the staged rows. It is quick and starts from nothing, so it keeps no note of its own.

use super::card::{self, Facts};
use super::plan::{Format, Identity};
use super::staging::{Staged, State, sync, written};
use super::{Sink, Work};
use crate::output;
use crate::verify::seals;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use domain::Digest;
use exports::{Failure, JsonLines, Manifested, Prov, Table, Written, media_type};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::time::{Duration, Instant};
use wire::http::v1::{Dataset, JobSeals, Pack, Page, Task};

/// The last file of an export: what it is, and that it is whole.
const REPORT: &str = "export.json";
/// How long a seal is waited for.
const UNSEALED: Duration = Duration::from_secs(20);
/// Rows between two looks at whether somebody wants to end the command.
const BREATH: u64 = 500;

/// What an export has.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What it was made of and how.
    pub identity: Identity,
    /// Rows.
    pub pairs: u64,
    /// Lines of `failures.jsonl`.
    pub failures: u64,
    /// Rows by split.
    pub splits: BTreeMap<String, u64>,
    /// Tables, shards and documents; digests of images are in the rows.
    pub files: BTreeMap<String, Written>,
}

/// The report of an export that is whole.
///
/// # Errors
/// When the place does not answer, or the file is of another version.
pub async fn report(sink: &Sink) -> Result<Option<Report>> {
    let Some(text) = sink.read(REPORT).await? else { return Ok(None) };
    let unusable = || format!("{sink}/{REPORT} is not of this version; choose another place, or remove it");
    serde_json::from_slice(&text).map(Some).with_context(unusable)
}

type Out = BufWriter<File>;

enum Rows {
    Lines(JsonLines<Out>),
    Table(Box<Table<Out>>),
}

/// A file that is staged and will be brought to its place.
struct Document {
    name: String,
    staged: String,
    table: bool,
}

/// Everything that is written in the pass over the rows.
#[derive(Default)]
struct Open {
    tables: BTreeMap<String, Rows>,
    manifest: Option<JsonLines<Out>>,
    prov: Option<Prov<Out>>,
    images: Images,
}

/// Media types of the images that the rows name, by what they are.
#[derive(Default)]
pub struct Images(pub BTreeMap<(String, &'static str), BTreeSet<&'static str>>);

impl Images {
    fn note(&mut self, staged: &Staged) {
        let row = &staged.row;
        let names = [
            ("source", Some(&row.source_file_name)),
            ("edited", Some(&row.edited_file_name)),
            ("recon", row.recon_file_name.as_ref()),
        ];
        for (what, name) in names {
            if let Some(name) = name {
                let types = self.0.entry((row.split.clone(), what)).or_default();
                types.insert(media_type(name));
            }
        }
    }
}

/// Writes them, and brings them to their places; the report last.
pub async fn run(work: &Work<'_>, state: &State) -> Result<Report> {
    let facts = facts(work).await?;
    let mut documents = Vec::new();
    let mut open = Open::default();
    if work.plan.format() == Format::Prov {
        let out = stage(work, &mut documents, "prov.jsonld", false)?;
        open.prov = Some(Prov::new(out, &card::activity(work.plan, &facts))?);
    } else {
        open.manifest = Some(JsonLines::new(stage(work, &mut documents, "manifest.jsonl", false)?));
    }
    for (no, staged) in (0_u64..).zip(work.staging.rows(state)?) {
        row(work, state, &mut documents, &mut open, &staged?)?;
        if no % BREATH == 0 {
            tokio::task::yield_now().await;
        }
    }
    let images = close(open)?;
    let failures = failures(work, stage(work, &mut documents, "failures.jsonl", false)?).await?;

    let mut files = state.files.clone();
    let mut described = Vec::new();
    for document in documents {
        let path = work.staging.path(&document.staged);
        let whole = written(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        work.sink.publish(&document.name, &path).await?;
        described.push(card::file(&document.name, whole, document.table));
        files.insert(document.name, whole);
    }
    if work.plan.format() == Format::Croissant {
        let document = exports::croissant(&card::dataset(work.plan, &facts, state, described, &images))?;
        put_bytes(work, &mut files, "croissant.json", format!("{document:#}\n").into()).await?;
    }
    if work.plan.format() != Format::Prov {
        put_bytes(work, &mut files, "README.md", card::readme(work.plan, state).into()).await?;
    }
    let seal = seal(work).await?;
    for (name, bytes) in &seal {
        put_bytes(work, &mut files, &format!("{}/{name}", seals::FOLDER), bytes.clone()).await?;
    }
    let identity = work.plan.identity.clone();
    let report = Report { identity, pairs: state.pairs, failures, splits: state.splits.clone(), files };
    let text = Bytes::from(serde_json::to_vec_pretty(&report)?);
    let digest = Digest::of(&text);
    work.sink.put(REPORT, text, digest).await?;
    Ok(report)
}

async fn put_bytes(work: &Work<'_>, files: &mut BTreeMap<String, Written>, name: &str, bytes: Bytes) -> Result<()> {
    let whole = Written::of(&bytes);
    work.sink.put(name, bytes, whole.sha256).await?;
    files.insert(name.to_owned(), whole);
    Ok(())
}

/// The files of the job's seal, which `cfx verify` finds beside the images. A job is sealed within seconds of its end, which may have
/// been a moment ago; an installation that seals nothing must not keep anybody waiting for long.
async fn seal(work: &Work<'_>) -> Result<Vec<(String, Bytes)>> {
    let path = format!("/v1/jobs/{}/seals", work.plan.job.id);
    let began = Instant::now();
    loop {
        let found: JobSeals = work.client.get(&path).await?;
        let ended = work.plan.job.finished_at;
        match found.seals.into_iter().find(|seal| Some(seal.finished_at) == ended) {
            Some(seal) => return seals::files(work.client, &seal).await,
            None if began.elapsed() > UNSEALED => {
                output::note("the job has no seal: the export has none either");
                return Ok(Vec::new());
            }
            None => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

/// An empty staged file that will be called `name`.
fn stage(work: &Work<'_>, documents: &mut Vec<Document>, name: &str, table: bool) -> Result<Out> {
    let staged = format!("document-{}", documents.len());
    let out = work.staging.create(&staged)?;
    documents.push(Document { name: name.to_owned(), staged, table });
    Ok(out)
}

fn row(work: &Work<'_>, state: &State, documents: &mut Vec<Document>, open: &mut Open, staged: &Staged) -> Result<()> {
    let row = &staged.row;
    if let Some(prov) = &mut open.prov {
        return Ok(prov.push(row)?);
    }
    open.images.note(staged);
    if let Some(manifest) = &mut open.manifest {
        manifest.push(&Manifested::of(row, &staged.folder), &row.sample_id)?;
    }
    let extension = match work.plan.format() {
        Format::Imagefolder | Format::Croissant => "jsonl",
        Format::Parquet => "parquet",
        Format::Webdataset | Format::Prov => return Ok(()),
    };
    if !open.tables.contains_key(&row.split) {
        let out = stage(work, documents, &format!("{}/metadata.{extension}", row.split), true)?;
        let rows = match extension {
            "parquet" => Rows::Table(Box::new(Table::new(out, &state.columns)?)),
            _ => Rows::Lines(JsonLines::new(out)),
        };
        open.tables.insert(row.split.clone(), rows);
    }
    match open.tables.get_mut(&row.split) {
        Some(Rows::Lines(lines)) => lines.row(&state.columns, row)?,
        Some(Rows::Table(table)) => table.push(row)?,
        None => {}
    }
    Ok(())
}

/// Ends every file and brings it to disk.
fn close(open: Open) -> Result<Images> {
    let mut outs = Vec::new();
    for (_, rows) in open.tables {
        outs.push(match rows {
            Rows::Lines(lines) => lines.finish()?.0,
            Rows::Table(table) => table.finish()?,
        });
    }
    if let Some(manifest) = open.manifest {
        outs.push(manifest.finish()?.0);
    }
    if let Some(prov) = open.prov {
        outs.push(prov.finish()?.0);
    }
    for mut out in outs {
        sync(&mut out).context("a staged document cannot be written")?;
    }
    Ok(open.images)
}

/// What there is no output of, and why.
async fn failures(work: &Work<'_>, out: Out) -> Result<u64> {
    let mut lines = JsonLines::new(out);
    let mut count = 0;
    for state in ["dead", "cancelled"] {
        let mut after: Option<String> = None;
        loop {
            let after_ = after.as_deref().map(|after| format!("&after={after}")).unwrap_or_default();
            let path = format!("/v1/jobs/{}/tasks?state={state}&limit=1000{after_}", work.plan.job.id);
            let page: Page<Task> = work.client.get(&path).await?;
            for task in page.items.into_iter().filter(|task| work.plan.concerns(task.edit.as_deref())) {
                let sample_id = task.id.to_string();
                let failure = Failure {
                    sample_id: sample_id.clone(),
                    stage: task.stage.name().to_owned(),
                    status: task.state,
                    edit_id: task.edit,
                    source_uri: task.source,
                    reason: task.reason.map(|reason| reason.code().to_owned()).or(task.cancelled_for),
                    detail: task.detail,
                };
                lines.push(&failure, &sample_id)?;
                count += 1;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    sync(&mut lines.finish()?.0).context("a staged document cannot be written")?;
    Ok(count)
}

async fn facts(work: &Work<'_>) -> Result<Facts> {
    let spec = &work.plan.job.spec;
    let pack: Pack = work.client.get(&format!("/v1/packs/{}", spec.pack)).await?;
    let dataset: Dataset = work.client.get(&format!("/v1/datasets/{}", spec.dataset)).await?;
    Ok(Facts { pack: pack.digest, dataset: dataset.id })
}
