//! The quality benchmark: every method on held-out faces whose true counterfactual is drawn.
//!
//! `quality run` computes what is missing of the plan (`quality.toml`), `quality report` writes what is there: `quality.json`,
//! `QUALITY.md` and `gallery/`. `make quality` does both, one process a core. A run may be stopped at any time and goes on where
//! it was.

mod cache;
mod cells;
mod clock;
mod edit;
mod faces;
mod gallery;
mod measure;
mod networks_of;
mod plan;
mod results;
mod rows;
mod similarity;
mod statistics;
mod table;

use anyhow::{Context as _, Result, bail};
use cells::{Bench, Wanted, cells};
use clap::{Args, Parser, Subcommand};
use plan::Plan;
use std::path::{Path, PathBuf};
use training::faces::{DEFAULT_LIBRARY, Renderer};

/// Measures the quality of every editing method.
#[derive(Parser, Debug)]
struct Options {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    parts: Parts,
}

#[derive(Args, Debug)]
struct Parts {
    /// The repository, whose demo pack and caches are used.
    #[arg(long, global = true, default_value = ".")]
    root: PathBuf,
    /// The plan; tests/bench/quality.toml of the repository when absent.
    #[arg(long, global = true)]
    plan: Option<PathBuf>,
    /// The folder of the pack; deploy/demo/pack of the repository when absent.
    #[arg(long, global = true)]
    pack: Option<PathBuf>,
    /// The folder of what is computed; .local/quality of the repository when absent.
    #[arg(long, global = true)]
    cache: Option<PathBuf>,
    /// Few faces, texts and steps: whether it runs, not how good it is.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Computes what is missing. Several processes share the work.
    Run {
        /// Only these methods, by their names in the plan.
        #[arg(long)]
        only: Vec<String>,
        /// Only these texts, such as green-hair.
        #[arg(long, value_delimiter = ',')]
        texts: Vec<String>,
        /// Only these seeds.
        #[arg(long, value_delimiter = ',')]
        seeds: Vec<u64>,
    },
    /// Writes quality.json, QUALITY.md and gallery/ from what is computed.
    Report {
        /// The folder to write to; tests/bench of the repository when absent.
        #[arg(long)]
        out: Option<PathBuf>,
    },
}

fn main() -> Result<()> {
    let Options { what, parts } = Options::parse();
    let root = &parts.root;
    let mut plan = Plan::read(&parts.plan.unwrap_or_else(|| root.join("tests/bench/quality.toml")))?;
    if parts.quick {
        plan = plan.quick();
    }
    let networks = networks_of::open(&parts.pack.unwrap_or_else(|| root.join("deploy/demo/pack")))?;
    let renderer = Renderer::open(root.join(DEFAULT_LIBRARY))?;
    let cache = parts.cache.unwrap_or_else(|| cells::default_cache(root));
    let bench = Bench { plan: &plan, networks: &networks, renderer: &renderer, cache, rules: measure::rules(&plan)? };
    match what {
        What::Run { only, texts, seeds } => {
            let wanted = Wanted { methods: only, texts, seeds };
            let cells = cells(&plan, &wanted);
            if cells.is_empty() {
                bail!("no method, text and seed of the plan is as wanted: {wanted:?}");
            }
            bench.run(&cells)
        }
        What::Report { out } => report(&bench, &out.unwrap_or_else(|| root.join("tests/bench"))),
    }
}

fn report(bench: &Bench<'_>, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let results = results::collect(bench)?;
    let rows = results.outcomes.iter().map(rows::Row::of).collect::<Result<Vec<_>, _>>()?;
    // A line a row: what changed between two runs can be read.
    let lines = rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    let json = format!("[\n{}\n]\n", lines.join(",\n"));
    cache::replace(&out.join("quality.json"), json.as_bytes())?;
    cache::replace(&out.join("QUALITY.md"), table::page(bench, &results).as_bytes())?;
    gallery::write(bench, &out.join("gallery"))?;
    let [done, all] = results.done;
    eprintln!("{done} of {all} runs are in {}", out.display());
    Ok(())
}
