//! A folder: files are written within it, among what is staged, and renamed. What a killed process leaves goes with the rest of that.

use anyhow::{Context as _, Result};
use domain::Digest;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where files are kept until they are whole.
pub const STAGING: &str = ".cfx-export";

/// A folder of this machine.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// So that two writers of one name do not share a part file.
    parts: AtomicU64,
}

impl Folder {
    /// Creates it if it is new.
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("{} cannot be created", root.display()))?;
        Ok(Self { root: root.to_owned(), parts: AtomicU64::new(0) })
    }

    /// Where a file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub async fn has(&self, name: &str, digest: Digest) -> bool {
        tokio::fs::read(self.path(name)).await.is_ok_and(|bytes| Digest::of(bytes) == digest)
    }

    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(name);
        let part = self.path(STAGING).join(format!("part-{}", self.parts.fetch_add(1, Ordering::Relaxed)));
        let write = async {
            tokio::fs::write(&part, bytes).await?;
            match tokio::fs::rename(&part, &path).await {
                // the first of its folder
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    make_parent(&path)?;
                    tokio::fs::rename(&part, &path).await
                }
                renamed => renamed,
            }
        };
        write.await.with_context(|| format!("{} cannot be written", path.display()))
    }

    pub fn publish(&self, name: &str, staged: &Path) -> Result<()> {
        let path = self.path(name);
        let moved = make_parent(&path).and_then(|()| std::fs::rename(staged, &path));
        moved.with_context(|| format!("{} cannot be written", path.display()))
    }

    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path(name);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

fn make_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.display().fmt(f)
    }
}
