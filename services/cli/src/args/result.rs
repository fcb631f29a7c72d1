//! `cfx result`.

use clap::Subcommand;
use domain::accept::RejectReason;
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub enum ResultCommand {
    /// List a job's edited images with their scores.
    List {
        /// The job's id.
        job: String,
        /// Only this edit (its name or slug).
        #[arg(long)]
        edit: Option<String>,
        /// Only results of this verdict.
        #[arg(long, value_parser = ["accepted", "rejected", "unjudged"])]
        verdict: Option<String>,
        /// Only results rejected for this, among other reasons perhaps.
        #[arg(long, value_parser = RejectReason::ALL.map(RejectReason::name))]
        reason: Option<String>,
        /// At most this many; 0 for all.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Download a job's edited images into a folder, with results.jsonl. Repeating fetches only what is missing.
    Fetch {
        /// The job's id.
        job: String,
        /// Folder to write into; created if new.
        #[arg(long)]
        to: PathBuf,
        /// Only this edit (its name or slug).
        #[arg(long)]
        edit: Option<String>,
        /// Only results that meet every rule of acceptance.
        #[arg(long)]
        accepted: bool,
        /// Also fetch each source's reconstruction: the unedited render that edits are compared with.
        #[arg(long)]
        reconstructions: bool,
        /// Also fetch the latents before and after each edit: safetensors, `w_plus [n_latent, w_dim]`, each with its credential beside it.
        #[arg(long)]
        latents: bool,
    },
}
