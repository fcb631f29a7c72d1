//! The coordinator: owns jobs. This file is the table of contents; it fails with one sentence.

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Parser, Subcommand};
use coordinator::access::{first_key, issue};
use coordinator::app::App;
use coordinator::config::{Config, Settings};
use coordinator::http::extract::{NAME_RULE, is_name};
use domain::Scope;
use std::process::ExitCode;
use store::{Deed, Store, StoreConfig};
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
    /// Print what the HTTP interface is, for programs that write clients (OpenAPI 3.1).
    Openapi,
    /// Keys that sign.
    #[command(subcommand)]
    Keys(KeysVerb),
    /// API keys, for whoever runs the database: the first one, or another in place of one that was lost.
    #[command(subcommand)]
    ApiKey(ApiKeyVerb),
}

#[derive(Subcommand)]
enum ApiKeyVerb {
    /// Make a key, and print it: the only time that it is shown.
    Create {
        /// A name for people.
        name: String,
        /// What it allows; each scope includes the ones before it.
        #[arg(long, value_parser = PossibleValuesParser::new(Scope::NAMES).try_map(|name| name.parse::<Scope>()), default_value = "admin")]
        scope: Scope,
        /// The only project it is good for, which is made if it is new. [default: all]
        #[arg(long)]
        project: Option<String>,
        /// It ends by itself after this many days. [default: never]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
    },
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
        Verb::Openapi => {
            use std::io::Write as _;
            std::io::stdout().write_all(coordinator::http::openapi::text()?.as_bytes()).map_err(Into::into)
        }
        Verb::Migrate => migrate(settings.database()?).await,
        Verb::Rebuild => rebuild(&settings).await,
        Verb::Keys(KeysVerb::Rotate) => rotate(settings.database()?).await,
        Verb::ApiKey(ApiKeyVerb::Create { name, scope, project, days }) => {
            create_api_key(settings.database()?, name, scope, project, days).await
        }
    };
    guard.finish();
    done
}

async fn serve(config: Config, metrics: telemetry::Guard) -> anyhow::Result<()> {
    let (address, access) = (config.listen, config.access.clone());
    let app = App::connect(config, metrics).await?;
    match first_key::ensure(&app.store, &access.admin_key_file).await {
        Ok(true) => {
            tracing::info!(file = %access.admin_key_file.display(), "an API key for the administrator lies in a file");
        }
        Ok(false) => {}
        // A folder that cannot be written to must not stop a coordinator: without a key nobody comes in who should not.
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "there is no API key yet; name another file with CFX_ADMIN_KEY_FILE, or run `coordinator api-key create admin`"
        ),
    }
    if !access.trusts_this_machine(address) {
        tracing::info!("every request needs an API key");
    }
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
    let (actor, subject) = ("coordinator keys rotate", certificates.key_id().to_string());
    let detail = serde_json::json!({ "subject": certificates.subject() });
    let deed =
        Deed { actor, said: None, project: None, action: "signing_key.rotate", subject: &subject, detail: &detail };
    store.audit(deed).await?;
    println!("{} signs from now on ({})", certificates.key_id(), certificates.subject());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
async fn create_api_key(
    url: String,
    name: String,
    scope: Scope,
    project: Option<String>,
    days: Option<u32>,
) -> anyhow::Result<()> {
    for name in project.iter().chain([&name]) {
        anyhow::ensure!(is_name(name), "'{name}' is no name: a name is {NAME_RULE}");
    }
    let store = Store::connect(&StoreConfig { url, max_connections: 1 }).await.context("cannot reach Postgres")?;
    store.check().await?;
    let project = match &project {
        Some(name) => Some(store.ensure_project(name).await?),
        None => None,
    };
    let token = issue::new_key()?;
    let expires_at = days.map(|days| chrono::Utc::now() + chrono::Duration::days(days.into()));
    let key = store::NewApiKey {
        id: token.id(),
        name,
        scope,
        project,
        secret_sha256: token.secret_sha256(),
        created_by: "coordinator api-key create".to_owned(),
        expires_at,
    };
    store.create_api_key(&key).await?;
    let detail = serde_json::json!({ "name": key.name, "scope": scope, "expires_at": expires_at });
    let (actor, subject) = (key.created_by.as_str(), token.id().to_string());
    let deed = Deed { actor, said: None, project, action: "api_key.create", subject: &subject, detail: &detail };
    store.audit(deed).await?;
    println!("{}", token.reveal());
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
