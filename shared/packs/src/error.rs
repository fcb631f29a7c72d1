//! What can be wrong with a pack before its files are hashed.

use crate::manifest::Role;
use std::path::PathBuf;

/// A pack that cannot be opened. Every message names the file or key and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The folder has no `pack.toml`.
    #[error("{0}: no pack.toml here; a pack is a folder with a pack.toml and the files it names")]
    NoManifest(PathBuf),
    /// A file exists but cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `pack.toml` is no TOML, or has an unknown, missing or mistyped key; the inner message shows the line.
    #[error("pack.toml: {0}")]
    Parse(Box<toml::de::Error>),
    /// `pack.toml` is no TOML, seen while filling in digests.
    #[error("pack.toml: {0}")]
    Edit(Box<toml_edit::TomlError>),
    /// The manifest is of a later (or no) format.
    #[error(
        "pack.toml: format is {found}, this version reads format {known}; use a newer release or export the pack again"
    )]
    Format {
        /// What the manifest says.
        found: String,
        /// What this version reads.
        known: u32,
    },
    /// A key has a value that cannot be.
    #[error("pack.toml: {key}: {message}")]
    Value {
        /// The key, dotted.
        key: String,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A file name that leads out of the pack's folder.
    #[error(
        "pack.toml: {key} = \"{file}\" leads out of the pack's folder; use a plain relative path and put the file beside pack.toml"
    )]
    Escapes {
        /// The key, dotted.
        key: String,
        /// The name as written.
        file: String,
    },
    /// A file that the manifest names is not there.
    #[error("{path}: the pack's {role} is missing; copy the file into the folder or correct its name in pack.toml")]
    Missing {
        /// What the file is for.
        role: Role,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A document that the manifest names is not there.
    #[error("{0}: named under documents in pack.toml, but missing; add it or take it off the list")]
    MissingDocument(PathBuf),
}

impl PackError {
    pub(crate) fn value(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Value { key: key.into(), message: message.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
