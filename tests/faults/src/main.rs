//! `make faults`: see the library.
#![expect(clippy::print_stdout, reason = "it is run by people and by make, and its words are its output")]

use anyhow::Result;
use clap::Parser;
use faults::run::{Plan, all};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Breaks an installation on purpose and checks what is left of the promises. Exit code 1 if one is broken.
#[derive(Parser)]
struct Arguments {
    /// Number of seeds: the first take every fault of the matrix once, the others one or two at random.
    #[arg(long, default_value_t = 60)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Draw the faults of every seed, the first ones too.
    #[arg(long)]
    draw: bool,
    /// Replay one seed that drew its faults (it was not among those that took the matrix in turn).
    #[arg(long)]
    replay: Option<u64>,
    /// Only faults whose name begins with this, for example `07`.
    #[arg(long)]
    only: Option<String>,
    /// Where the report and the evidence go. [default: .local/faults]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Begin no seed after this many minutes.
    #[arg(long)]
    minutes: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let given = Arguments::parse();
    let mut plan = Plan::new(given.replay.unwrap_or(given.first), if given.replay.is_some() { 1 } else { given.seeds });
    plan.matrix_first = given.replay.is_none() && !given.draw;
    plan.only = given.only;
    plan.folder = given.out.unwrap_or(plan.folder);
    plan.limit = given.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = Arc::clone(&plan.stop);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        println!("stopping after this seed");
        stop.store(true, Ordering::Relaxed);
    });
    let report = all(&plan).await?;
    println!("{} runs, {} violations; {}", report.runs, report.violations, plan.folder.join("report.json").display());
    Ok(if report.violations == 0 && report.unmade.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
