//! `local-s3`: the S3 endpoint that `make up` runs over the folder `.local/s3/data`. It ends on SIGTERM or Ctrl-C, after the
//! requests that are open.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use testkit::s3_server::S3Server;
use tokio::signal::unix::{SignalKind, signal};

/// A real S3 endpoint over a folder, for one machine.
#[derive(Debug, Parser)]
#[command(name = "local-s3", version)]
struct Options {
    /// Folder that holds the buckets, one sub-folder each.
    #[arg(long)]
    root: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8014)]
    port: u16,
    /// Access key that requests must be signed with.
    #[arg(long, env = "CFX_S3_ACCESS_KEY")]
    access_key: String,
    /// Secret key that requests must be signed with (better in the environment: flags are visible to every user).
    #[arg(long, env = "CFX_S3_SECRET_KEY", hide_env_values = true)]
    secret_key: String,
    /// Bucket to create if it is missing; may be given more than once.
    #[arg(long = "bucket")]
    buckets: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info,s3s=warn,s3s_fs=warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let options = Options::parse();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let server = S3Server::start(
        &options.root,
        &options.host,
        options.port,
        &options.access_key,
        &options.secret_key,
        &options.buckets,
    )
    .await?;
    tracing::info!(address = %server.address(), root = %options.root.display(), "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C")?,
    }
    server.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}
