//! `cfx verify`, and `cfx keys`, whose keys it verifies by.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// List the keys that sign, or did.
    List,
    /// Write the installation's trust anchors, for `cfx verify --anchors` and other verifiers.
    Export {
        /// File to write, PEM.
        to: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Images, folders that are searched for them, or a job, whose results are fetched.
    #[arg(required = true, value_name = "FILE|DIR|JOB")]
    pub files: Vec<PathBuf>,
    /// Root certificates that may vouch for a signer, PEM. [default: those of the server]
    #[arg(long, value_name = "FILE")]
    pub anchors: Vec<PathBuf>,
    /// The seal of the job, as `cfx job seal` writes it: a folder with attestation.dsse.json and manifest.jsonl. [default: the folder
    /// that is verified, or the server]
    #[arg(long, value_name = "DIR")]
    pub seal: Option<PathBuf>,
    /// Render each image again from its record and compare the pixels: needs the worker, its networks, and time.
    #[arg(long)]
    pub replay: bool,
    /// By how many levels of 0 to 255 a pixel may differ in a replay.
    #[arg(long, default_value_t = 0, requires = "replay")]
    pub tolerance: u8,
    /// Device of the replay. [default: the kind that the record names]
    #[arg(long, requires = "replay")]
    pub device: Option<String>,
    /// The worker that replays. [default: the one beside cfx]
    #[arg(long, value_name = "PATH", requires = "replay")]
    pub worker: Option<PathBuf>,
    /// Do not call it a failure that an image is not signed: for outputs of versions that did not sign.
    #[arg(long)]
    pub allow_unsigned: bool,
    /// The pack the images were made with: its weights are hashed again.
    #[arg(long)]
    pub pack: Option<PathBuf>,
    /// The source image, or the folder the sources lie in.
    #[arg(long)]
    pub source: Option<PathBuf>,
    /// Ask no server: what is not on this machine is skipped.
    #[arg(long)]
    pub offline: bool,
}
