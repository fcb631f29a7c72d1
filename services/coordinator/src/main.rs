//! The coordinator: owns jobs. This file is the table of contents; it fails with one sentence.

use anyhow::Context;
use clap::{Parser, Subcommand};
use coordinator::app::App;
use coordinator::config::{Config, Settings};
use std::process::ExitCode;
use store::{Store, StoreConfig};
use telemetry::LogConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Owns Counterfactory's jobs: the HTTP interface, the dashboard, and the loops that hand work to workers.
#[derive(Parser)]
#[command(name = "coordinator", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve the HTTP interface and the dashboard, and run the loops. Any number of coordinators may run.
    Serve,
    /// Bring the database's schema up to this version.
    Migrate,
    /// Write what a lost database held again, from the bucket alone: what was registered and asked for, and every result. Run it
    /// on an empty database, with no coordinator serving it. Unfinished jobs come back paused.
    Rebuild,
    /// Keys that sign.
    #[command(subcommand)]
    Keys(KeysVerb),
}

#[derive(Subcommand)]
enum KeysVerb {
    /// Put a new key of the installation's own in the place of the one that signs now. What was signed before stays valid; running
    /// coordinators take the new one within seconds. A configured key is rotated by changing its files.
    Rotate,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // the whole chain of causes on one line; not `Debug`, which adds a backtrace
            eprintln!("coordinator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let Arguments { verb, settings } = Arguments::parse();
    let settings = settings.with_file()?;
    let format = settings.log_format.as_deref().unwrap_or("text").parse()?;
    let filter = settings.log.clone().unwrap_or_else(|| "info".to_owned());
    let metrics = telemetry::init("coordinator", &LogConfig { format, filter, traces: settings.traces.config()? })?;
    let commit = option_env!("CFX_COMMIT").unwrap_or("unknown");
    metrics::gauge!("cfx_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => commit).set(1.0);
    let guard = metrics.clone();
    let done = match verb {
        Verb::Serve => serve(Config::resolve(&settings)?, metrics).await,
        Verb::Migrate => migrate(settings.database()?).await,
        Verb::Rebuild => rebuild(&settings).await,
        Verb::Keys(KeysVerb::Rotate) => rotate(settings.database()?).await,
    };
    guard.finish();
    done
}

async fn serve(config: Config, metrics: telemetry::Guard) -> anyhow::Result<()> {
    let address = config.listen;
    let app = App::connect(config, metrics).await?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    tracing::info!(address = %listener.local_addr()?, "the coordinator serves");
    let soft = CancellationToken::new();
    tokio::spawn(signals(soft.clone()));
    app.serve(listener, soft).await
}

async fn migrate(url: String) -> anyhow::Result<()> {
    let store = Store::connect(&StoreConfig { url, max_connections: 1 }).await.context("cannot reach Postgres")?;
    store.migrate().await?;
    tracing::info!("the schema is up to date");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
async fn rebuild(settings: &Settings) -> anyhow::Result<()> {
    let config = StoreConfig { url: settings.database()?, max_connections: 4 };
    let store = Store::connect(&config).await.context("cannot reach Postgres")?;
    store.migrate().await?;
    let artifacts = coordinator::app::bucket(&settings.bucket()?);
    artifacts.check().await.context("cannot use the bucket")?;
    let report = coordinator::rebuild::run(&store, &artifacts, settings.tuning.slice_rows).await?;
    print!("{report}");
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
async fn rotate(url: String) -> anyhow::Result<()> {
    let store = Store::connect(&StoreConfig { url, max_connections: 1 }).await.context("cannot reach Postgres")?;
    store.check().await?;
    let certificates = coordinator::signing::rotate(&store).await?;
    println!("{} signs from now on ({})", certificates.key_id(), certificates.subject());
    Ok(())
}

/// The first SIGTERM or SIGINT ends the process in good order, the second at once.
async fn signals(soft: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be heard; the process can only be killed");
        return;
    };
    for first in [true, false] {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first {
            tracing::info!("ending: no new work is taken; a second signal ends at once");
            soft.cancel();
        }
    }
    std::process::exit(130);
}
