//! `hosts`: tells the stories of an installation on many hosts and prints the table. See the library.

use anyhow::{Context as _, Result};
use clap::Parser;
use hosts::fleet::{MOST_WORKERS, WORKERS};
use hosts::story::{Story, totals};
use hosts::{Fleet, Report, load};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Tells stories.
#[derive(Parser)]
struct Arguments {
    /// Only stories whose name begins with this.
    #[arg(long)]
    only: Option<String>,
    /// Where the report goes; what the processes wrote goes beside it where something went wrong.
    #[arg(long, default_value = ".local/hosts/report.json")]
    to: PathBuf,
    /// How long a job may stand still before it counts as lost, s.
    #[arg(long, default_value_t = 120)]
    patience: u64,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for the command line: the table is its result")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen: Vec<Story> = Story::ALL
        .into_iter()
        .filter(|story| arguments.only.as_deref().is_none_or(|only| story.name().starts_with(only)))
        .collect();
    anyhow::ensure!(!chosen.is_empty(), "no story begins so; there are: {}", Story::ALL.map(Story::name).join(" "));
    let mut fleet = Fleet::start().await.context("the installation does not come up")?;
    load::prepare(&fleet).await?;
    load::keep_up(&fleet).await?;
    // the first of the work is on its way
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut report = Report::default();
    for story in chosen {
        let told = story.tell(&mut fleet).await;
        if told.is_err() {
            fleet.keep_outputs(&arguments.to.with_file_name("logs"))?;
        }
        let told = told?;
        eprintln!(
            "{:<20} {:5.1} {:5.1} {:5.1} images/s, back after {:?} {}",
            told.name,
            told.before,
            told.during,
            told.after,
            told.back_s,
            told.wrong.join("; ")
        );
        report.stories.push(told);
        report.save(&arguments.to)?;
    }
    // what is left is done sooner by more
    for place in WORKERS..MOST_WORKERS {
        fleet.add_worker(place)?;
    }
    report.violations = load::settle(&fleet, Duration::from_secs(arguments.patience)).await?;
    report.frames = fleet.network.switch.frames();
    (report.made, report.repeated) = totals(&fleet).await?;
    report.save(&arguments.to)?;
    println!("{}", report.table());
    if report.holds() {
        return Ok(ExitCode::SUCCESS);
    }
    fleet.keep_outputs(&arguments.to.with_file_name("logs"))?;
    Ok(ExitCode::FAILURE)
}
