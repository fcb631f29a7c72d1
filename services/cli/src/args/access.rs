//! Arguments about keys, profiles and the program itself.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args as ClapArgs, Subcommand};
use domain::{ApiKeyId, Scope};
use std::path::PathBuf;

#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Make a key. Its text is printed once, on stdout, and is nowhere else.
    Create(KeyCreateArgs),
    /// List the keys, newest first.
    List {
        /// At most this many; 0 for all.
        #[arg(long, default_value_t = 100)]
        limit: u64,
    },
    /// Give a key another secret. The one it had holds for the overlap; sessions of the dashboard too.
    Rotate {
        /// The key's id, as `key list` shows it.
        id: ApiKeyId,
        /// Hours for which the old secret holds; 0 ends it at once.
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=720))]
        overlap_hours: u64,
        /// Write the new text to this file, for its owner's eyes only, in place of stdout.
        #[arg(long)]
        to: Option<PathBuf>,
    },
    /// Take a key back, at once and for good.
    Revoke {
        /// The key's id, as `key list` shows it.
        id: ApiKeyId,
    },
}

#[derive(ClapArgs, Debug)]
pub struct KeyCreateArgs {
    /// A name for people.
    pub name: String,
    /// What it allows; each includes the ones before it.
    #[arg(long, value_parser = PossibleValuesParser::new(Scope::NAMES).try_map(|name| name.parse::<Scope>()))]
    pub scope: Scope,
    /// The only project it is good for. [default: that of --project or the profile, and all where neither names one]
    #[arg(long = "for", value_name = "PROJECT")]
    pub for_project: Option<String>,
    /// It is good for all projects, whatever the profile says.
    #[arg(long, conflicts_with = "for_project")]
    pub all_projects: bool,
    /// It ends by itself after this many days. [default: never]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: Option<u32>,
    /// Write the text to this file, for its owner's eyes only, in place of stdout.
    #[arg(long)]
    pub to: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the profiles, and what this call would use and where it has it from. Secrets are hidden.
    Show,
}
