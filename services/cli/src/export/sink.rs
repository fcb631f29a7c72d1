//! Where an export goes: a folder, or a bucket of its user's. Under its own name a file is whole or not there.

mod bucket;
mod folder;

use anyhow::{Context as _, Result};
use bucket::Bucket;
use bytes::Bytes;
use domain::Digest;
use folder::Folder;
use std::fmt;
use std::path::{Path, PathBuf};

/// A place for files by name.
#[derive(Debug)]
pub enum Sink {
    /// A folder of this machine.
    Folder(Folder),
    /// A prefix in a bucket.
    Bucket(Box<Bucket>),
}

impl Sink {
    /// `s3://bucket/prefix`, or else a folder, which is created.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn open(to: &str) -> Result<Self> {
        if to.starts_with("s3://") {
            return Ok(Self::Bucket(Box::new(Bucket::open(to).await?)));
        }
        Ok(Self::Folder(Folder::open(Path::new(to))?))
    }

    /// Where files are staged: for a folder within it, so that bringing one to its place is a change of name.
    ///
    /// # Errors
    /// When this machine has no place for it.
    pub fn staging(&self) -> Result<PathBuf> {
        match self {
            Self::Folder(folder) => Ok(folder.path(folder::STAGING)),
            Self::Bucket(bucket) => {
                let given = std::env::var_os("CFX_STATE_DIR").map(PathBuf::from);
                let state = std::env::var_os("XDG_STATE_HOME").map(|home| PathBuf::from(home).join("cfx"));
                let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state/cfx"));
                let root = given.or(state).or(home);
                let root =
                    root.context("neither CFX_STATE_DIR nor HOME says where to stage files; set CFX_STATE_DIR")?;
                Ok(root.join("exports").join(super::Plan::folder_of(&bucket.to_string())))
            }
        }
    }

    /// Whether the file is there with these bytes. Of a bucket's objects, which are written whole, only that they are there.
    ///
    /// # Errors
    /// When the place does not answer.
    pub async fn has(&self, name: &str, digest: Digest) -> Result<bool> {
        match self {
            Self::Folder(folder) => Ok(folder.has(name, digest).await),
            Self::Bucket(bucket) => bucket.has(name).await,
        }
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn put(&self, name: &str, bytes: Bytes, digest: Digest) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.put(name, &bytes).await,
            Self::Bucket(bucket) => bucket.put(name, bytes, digest).await,
        }
    }

    /// Brings a staged file to its place; it is not staged any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn publish(&self, name: &str, staged: &Path) -> Result<()> {
        match self {
            Self::Folder(folder) => folder.publish(name, staged),
            Self::Bucket(bucket) => {
                bucket.upload(name, staged).await?;
                std::fs::remove_file(staged).with_context(|| format!("{} cannot be removed", staged.display()))
            }
        }
    }

    /// A small file, if it is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => folder.read(name),
            Self::Bucket(bucket) => bucket.read(name).await,
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}
