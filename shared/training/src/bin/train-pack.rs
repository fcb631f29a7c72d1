//! `train-pack`: trains a pack from scratch, by a recipe. Ctrl-C loses no more than the steps since the last checkpoint.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use networks::device::{DeviceChoice, Settings, open};
use training::whole::{Done, Workplace, train_file};

/// Trains every network of a pack from scratch and writes the pack, a report and a sheet of pictures.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The recipe (TOML).
    recipe: PathBuf,
    /// Where everything goes: `work/` (checkpoints, curves), `pack/`, `report.md`, `sheet.png`.
    #[arg(long, default_value = ".local/training")]
    out: PathBuf,
    /// The face library.
    #[arg(long, env = "CFX_FACESJS", default_value = training::faces::DEFAULT_LIBRARY)]
    facesjs: PathBuf,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, env = "CFX_DEVICE", default_value = "cpu")]
    device: String,
    /// CPU threads of tensor operations, and of drawing.
    #[arg(long, env = "CFX_THREADS", default_value_t = 1)]
    threads: u16,
    /// Goes on from the checkpoints in the output folder.
    #[arg(long)]
    resume: bool,
    /// Stops after so many seconds, with a checkpoint.
    #[arg(long)]
    seconds: Option<u64>,
}

fn main() -> Result<()> {
    networks::device::memory::keep_freed();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("info,usvg=error").init();
    let arguments = Arguments::parse();
    let device = DeviceChoice::from_str(&arguments.device).context("--device")?;
    let threads = usize::from(arguments.threads.max(1));
    let device = open(&Settings { device, threads, ..Settings::default() })?;
    let place = Workplace {
        library: arguments.facesjs,
        folder: arguments.out,
        device,
        threads,
        resume: arguments.resume,
        until: arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
    };
    match train_file(&arguments.recipe, &place)? {
        Done::Pack { folder, figures } => {
            let folder = folder.display();
            tracing::info!(%folder, psnr = figures.psnr, ssim = figures.ssim, "the pack is written");
        }
        Done::Paused { part, next } => tracing::info!(part, next, "the time is up; run again with --resume"),
    }
    Ok(())
}
