//! `cfx`: what researchers type. Speaks HTTP to a coordinator, reads and hashes local files, prints.
//!
//! Never touches the database, the broker or the system's bucket, and never loads libtorch: it runs on any laptop. An export may go to
//! a bucket of its user's, with its user's keys. A command that was interrupted can be repeated: uploads are content-addressed, submits
//! carry an idempotency key, exports note how far they are.

mod args;
mod audit;
mod client;
mod commands;
mod exit;
mod export;
mod job_file;
mod like;
mod manifest;
mod masks;
mod output;
mod profile;
mod sources;
mod verify;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // safe because nothing installed a provider before: this is the first line that could
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&anyhow::Error::new(error).context("the async runtime cannot start"));
            return exit::FAILURE.into();
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            done = commands::run(args) => done.unwrap_or_else(|error| {
                output::complain(&error);
                exit::code_of(&error)
            }),
            _ = tokio::signal::ctrl_c() => exit::INTERRUPTED,
        }
    });
    // a command that was interrupted may have a blocking read under way: leave it behind
    runtime.shutdown_background();
    code.into()
}
