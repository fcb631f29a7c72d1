//! The end-to-end part of `make bench`: images from a dataset to the bucket, through a coordinator and worker processes as they ship,
//! on the demo pack; what each stage has of it; and what orchestration costs a worker for each task. Written to
//! `tests/bench/end_to_end.json`, from which `tests/bench/results.py` makes a section of `RESULTS.md`.
//!
//! Every run has pictures of its own, the same pixels in other files: otherwise the latents of the run before would be used again.
#![expect(clippy::print_stdout, reason = "it is run by people and by make, and its words are its output")]

#[path = "../rig.rs"]
#[expect(dead_code, reason = "the rig of `scale`, which does more with it")]
mod rig;

mod overhead;
mod pictures;
mod run;
mod worker;

use anyhow::{Result, ensure};
use clap::Parser;
use rig::Rig;
use serde_json::json;
use testkit::workspace_root;

/// Dataset to bucket, stages and orchestration, measured.
#[derive(Parser)]
struct Arguments {
    /// Numbers of worker processes, one thread each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    workers: Vec<usize>,
    /// Images that pass through a trained mapper in a run.
    #[arg(long, default_value_t = 256)]
    images: usize,
    /// Images that are optimised one by one in a run.
    #[arg(long, default_value_t = 64)]
    optimised: usize,
    /// Steps of the optimisation.
    #[arg(long, default_value_t = 10)]
    steps: u32,
    /// Seconds for which each null executor is looked at.
    #[arg(long, default_value_t = 15)]
    null_seconds: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!arguments.workers.contains(&0), "--workers has a 0; a run needs one worker at least");
    ensure!(arguments.images > 0 && arguments.optimised > 0, "--images and --optimised must be one at least");
    let load = load();
    let rig = Rig::start().await?;
    let faces = pictures::faces()?;
    run::train(&rig, &faces).await?;
    let mut runs = Vec::new();
    for &workers in &arguments.workers {
        runs.extend(run::measure(&rig, &faces, workers, &arguments).await?);
    }
    let overhead = overhead::measure(&rig, arguments.null_seconds).await?;
    let report = json!({
        "command": std::iter::once("end-to-end".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" "),
        "machine": {
            "cpu": cpu(),
            "cores": std::thread::available_parallelism()?.get(),
            "load_before": load,
            "load_after": self::load(),
            "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
        },
        "steps": arguments.steps,
        "runs": runs,
        "overhead": overhead,
    });
    let path = workspace_root().join("tests/bench/end_to_end.json");
    std::fs::write(&path, format!("{report:#}\n"))?;
    println!("written to tests/bench/end_to_end.json");
    Ok(())
}

/// The machine's load over the last minute, where it tells.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The processor's name, where it tells.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
