//! The command line, as clap reads it; what belongs to one verb is in a file of its own.

mod access;
mod audit;
mod dataset;
mod export;
mod job;
mod pack;
mod project;
mod result;
mod verify;

pub use access::{ConfigCommand, KeyCommand, KeyCreateArgs};
pub use audit::AuditArgs;
pub use dataset::DatasetCommand;
pub use export::ExportArgs;
pub use job::{JobCommand, LimitArgs, SubmitArgs};
pub use pack::{ImportArgs, MapperCommand, PackCommand};
pub use project::{ProjectCommand, ProjectSetArgs};
pub use result::ResultCommand;
pub use verify::{KeysCommand, VerifyArgs};

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// A combination of flags that clap cannot refuse by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Text-driven counterfactual image editing at dataset scale.
#[derive(Parser, Debug)]
#[command(name = "cfx", version, about, propagate_version = true)]
pub struct Args {
    /// Address of the coordinator. [default: the profile's, or http://127.0.0.1:8080]
    #[arg(long, env = "CFX_SERVER", global = true)]
    pub server: Option<String>,
    /// Project (tenant) to act for. [default: the profile's, or the key's own, or `default`]
    #[arg(long, env = "CFX_PROJECT", global = true)]
    pub project: Option<String>,
    /// Which profile of the configuration file to use. Keys come from CFX_API_KEY, CFX_API_KEY_FILE or the profile.
    #[arg(long, env = "CFX_PROFILE", global = true)]
    pub profile: Option<String>,
    /// The configuration file. [default: counterfactory/cfx.toml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, env = "CFX_CONFIG", global = true)]
    pub config: Option<PathBuf>,
    /// A note of who acts, for the audit log, which names the key besides; the user's login name if not given.
    #[arg(long, env = "CFX_ACTOR", global = true)]
    pub actor: Option<String>,
    /// Print JSON instead of tables and bars.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Register images.
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Register and check model packs.
    #[command(subcommand)]
    Pack(PackCommand),
    /// Use mappers that were trained elsewhere.
    #[command(subcommand)]
    Mapper(MapperCommand),
    /// Submit jobs and follow them.
    #[command(subcommand)]
    Job(JobCommand),
    /// List and download edited images.
    #[command(subcommand)]
    Result(ResultCommand),
    /// Share GPU time among projects.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Audit a classifier by a job's counterfactuals: how often edits change its decision, and how often reconstructions do.
    Audit(Box<AuditArgs>),
    /// Print who changed what, latest first.
    AuditLog {
        /// At most this many entries.
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
    /// Print the record inside an edited image.
    Inspect {
        /// An image written by a worker.
        file: PathBuf,
    },
    /// Hold edited images against their records, credentials and seals; exit code 4 if anything differs.
    Verify(VerifyArgs),
    /// Keys that sign results.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// API keys: who may do what.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Print what the key in use allows.
    Whoami,
    /// Try a key, read from the terminal or from stdin, and keep it under a profile.
    Login,
    /// The configuration file and its profiles.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages.
    Man {
        /// Folder to write into; created if new.
        dir: PathBuf,
    },
    /// Check the coordinator and everything it depends on.
    Doctor,
    /// Ask whether the coordinator can do its work: 0 if it can, 1 if not, 5 if it does not answer. For probes; needs no key.
    Health,
}
