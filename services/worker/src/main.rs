//! The worker: owns one device, speaks RabbitMQ and S3, and has no access to the database.
//!
//! `run` takes batches from the queue until told to end; `edit` makes one edit with no services at all; `replay` renders outputs
//! again from their records; `compute` runs a pack's networks on given tensors; `score` asks a classifier about images;
//! `bench` measures the stages. The way of a batch:
//! [`consume`] (a slot is free, so ask for a batch) → [`settle`] (say `Started`, then acknowledge) → [`pipeline`] (stage, compute on
//! the thread of [`gpu`], upload) → [`report`] (tell the outcomes until they are confirmed). Beside it: heartbeats ([`report`]),
//! revocations ([`control`]), and the end in good order ([`drain`]).

mod bench;
mod cache;
mod compute;
mod config;
mod consume;
mod control;
mod device_memory;
mod drain;
mod engine;
mod gpu;
mod health;
mod held;
mod memory;
mod pipeline;
mod probe;
mod replay;
mod report;
mod run;
mod score;
mod settle;
mod signing;
mod single;
mod stages;
mod watch;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "worker", version, about = "Counterfactory's worker: one device, counterfactual edits in batches")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Take batches from the queue until told to end (SIGTERM drains; a second signal ends at once).
    Run(Box<config::Settings>),
    /// Ask a worker of this machine whether it is well: 0 if it is. For probes of containers.
    Health(health::HealthArgs),
    /// Edit one image with no services at all; the result carries its record.
    Edit(Box<single::EditArgs>),
    /// Render outputs again from the records inside them, and compare; exit code 4 if one differs.
    Replay(Box<replay::ReplayArgs>),
    /// Run a pack's networks on your own tensors, and write outputs and gradients: how an import is proved against its program.
    Compute(Box<compute::ComputeArgs>),
    /// Ask a classifier about images: a TorchScript file or a pack's judge. `cfx audit` does it for all images of a job.
    Score(Box<score::ScoreArgs>),
    /// Measure how fast each stage is on this machine, with networks of published sizes and random weights; no pack is needed.
    Bench(Box<bench::BenchArgs>),
}

fn main() -> ExitCode {
    // Before anything that could start a thread.
    networks::device::prepare_process();
    networks::device::memory::keep_freed();
    match perform(Arguments::parse().verb) {
        Ok(code) => code.into(),
        Err(error) => {
            // Not by `?` from main: that prints a stack to people who mistyped a path.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(verb: Verb) -> Result<u8> {
    match verb {
        Verb::Run(settings) => {
            let (config, log) = settings.resolve()?;
            let metrics = telemetry::init("worker", &log)?;
            let commit = option_env!("CFX_COMMIT").unwrap_or("unknown");
            metrics::gauge!("cfx_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => commit).set(1.0);
            // Tensors have a thread of their own; this is for connections and decoding.
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            let ended = runtime.block_on(run::run(config, metrics.clone()));
            metrics.finish();
            // What still blocks (a decode, the tensor thread) holds nothing that anybody waits for.
            runtime.shutdown_background();
            ended
        }
        Verb::Health(args) => health::run(&args),
        Verb::Edit(args) => {
            let _telemetry = telemetry::init("worker", &telemetry::LogConfig::default())?;
            single::run(&args).map(|()| 0)
        }
        Verb::Replay(args) => replay::run(&args),
        Verb::Compute(args) => compute::run(&args).map(|()| 0),
        Verb::Score(args) => score::run(&args).map(|()| 0),
        Verb::Bench(args) => bench::run(&args).map(|()| 0),
    }
}
