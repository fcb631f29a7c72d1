//! What `make demo` ends with. Reads what any user can get (`cfx … --json`, `cfx result fetch`) and the drawn truth beside the
//! demo faces; writes a table to stdout, `report.json` and `contact-sheet.png`. Measures, never decides: every figure comes
//! from the job's own results or from pixels.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod faces;
mod report;
mod sheet;

use anyhow::{Context as _, Result};
use clap::Parser;
use std::path::{Path, PathBuf};
use wire::http::v1::{EditResult, Job, Worker};

/// Sums up a finished demo job.
#[derive(Parser, Debug)]
struct Args {
    /// `cfx job status JOB --json`.
    #[arg(long)]
    job: PathBuf,
    /// `GET /v1/workers`.
    #[arg(long)]
    workers: PathBuf,
    /// Folder of `cfx result fetch JOB --reconstructions`.
    #[arg(long)]
    results: PathBuf,
    /// The demo faces with masks and truth.
    #[arg(long)]
    faces: PathBuf,
    /// Rows of the contact sheet.
    #[arg(long, default_value_t = 16)]
    rows: usize,
    /// Folder for report.json and contact-sheet.png.
    #[arg(long)]
    out: PathBuf,
}

/// One result with the file it was fetched into.
#[derive(serde::Deserialize, Debug, Clone)]
struct Fetched {
    #[serde(flatten)]
    result: EditResult,
    file: PathBuf,
    reconstruction_file: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let job: Job = read_json(&args.job)?;
    let workers: wire::http::v1::Page<Worker> = read_json(&args.workers)?;
    let index = args.results.join("results.jsonl");
    let text = std::fs::read_to_string(&index).with_context(|| format!("{} cannot be read", index.display()))?;
    let fetched: Vec<Fetched> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{} holds {line}", index.display())))
        .collect::<Result<_>>()?;
    let faces = faces::Faces::open(&args.faces)?;
    let report = report::measure(&job, &workers.items, &fetched, &args.results, &faces)?;
    std::fs::create_dir_all(&args.out)?;
    let file = args.out.join("report.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    let sheet = args.out.join("contact-sheet.png");
    sheet::draw(&job, &fetched, &args.results, &faces, args.rows)?
        .save(&sheet)
        .with_context(|| format!("{} cannot be written", sheet.display()))?;
    print!("{}", report.table());
    println!("\nfigures        {}\ncontact sheet  {}", file.display(), sheet.display());
    Ok(())
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not what this program reads", path.display()))
}
