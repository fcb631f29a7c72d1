//! `make soak`: see `faults::soak`.
#![expect(clippy::print_stdout, reason = "it is run by people and by make, and its words are its output")]

use anyhow::Result;
use clap::Parser;
use faults::soak::{Plan, run};
use std::process::ExitCode;
use testkit::workspace_root;
use tokio::signal::unix::{SignalKind, signal};

/// Keeps an installation under load, breaks it by turns, and says whether its sizes stay flat. Exit code 1 if not.
#[derive(Parser)]
struct Arguments {
    /// Minutes under load.
    #[arg(long, env = "SOAK_MINUTES", default_value_t = 60)]
    minutes: u64,
    /// Chooses the faults and their moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { minutes, seed } = Arguments::parse();
    let plan = Plan { minutes, seed, folder: workspace_root().join(".local/soak") };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        println!("stopped early; what was measured until now is judged");
    };
    let report = run(&plan, stop).await?;
    for violation in &report.violations {
        println!("VIOLATED: {violation}");
    }
    for series in report.series.iter().filter(|series| !series.flat) {
        println!("GROWS: {} by {:.1} an hour, bound {:.1}", series.name, series.per_hour, series.bound);
    }
    println!("{:.0} minutes, {:.0} tasks; {}", report.minutes, report.tasks, plan.folder.join("report.json").display());
    Ok(if report.is_bad() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
