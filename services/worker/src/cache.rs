//! Packs fetched from the bucket on demand, kept in a folder as files named by their digest.
//!
//! A file enters the folder whole (fetched aside, verified, then renamed); one that lies there from an earlier process is hashed
//! once before it is used. A fetch that was cut short goes on where it was. Several processes may share the folder: a lock beside
//! each file lets one of them fetch it.

use crate::engine::LocalPack;
use crate::stages::ended::{Ended, with_causes};
use artifacts::Artifacts;
use domain::{Digest, Reason};
use packs::Manifest;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Mutex;
use wire::broker::v1::PackRef;

/// The folder, and the packs that this process has opened.
pub struct PackCache {
    folder: PathBuf,
    limit: u64,
    artifacts: Artifacts,
    /// Held while a pack is fetched, so that two batches of one pack fetch it once.
    open: Mutex<HashMap<Digest, Arc<LocalPack>>>,
}

impl PackCache {
    /// A cache in `folder` (made when needed) of at most `limit` bytes.
    pub fn new(folder: PathBuf, limit: u64, artifacts: Artifacts) -> Self {
        Self { folder, limit, artifacts, open: Mutex::default() }
    }

    /// The pack, fetched if it is not here.
    ///
    /// # Errors
    /// `storage_unavailable` when the bucket or the folder fails; `pack_invalid` when it is not the pack it should be.
    pub async fn pack(&self, wanted: &PackRef) -> Result<Arc<LocalPack>, Ended> {
        let mut open = self.open.lock().await;
        if let Some(pack) = open.get(&wanted.digest) {
            if pack.manifest.files().iter().all(|file| self.path(file.sha256).is_file()) {
                return Ok(Arc::clone(pack));
            }
            // Another worker's eviction took a file: fetch again.
            open.remove(&wanted.digest);
        }
        let invalid = |what: String| Ended::failed(Reason::PackInvalid, format!("the pack {}: {what}", wanted.name));
        let text = self.artifacts.get(wanted.manifest).await.map_err(|e| self.of_bucket(&wanted.name, &e))?;
        let text = std::str::from_utf8(&text).map_err(|e| invalid(e.to_string()))?;
        let manifest = Manifest::from_toml(text).map_err(|e| invalid(with_causes(&e)))?;
        if manifest.digest() != wanted.digest {
            return Err(invalid(format!(
                "its manifest has digest {}, {} was asked for",
                manifest.digest(),
                wanted.digest
            )));
        }
        let mut files = HashSet::new();
        for file in manifest.files() {
            // Two roles may share a file.
            if files.insert(file.sha256) {
                self.fetch(file.sha256, &format!("{}: {} ({})", wanted.name, file.file, file.role)).await?;
            }
        }
        let pack = Arc::new(LocalPack::new(manifest, |file| self.path(file.sha256)));
        open.insert(wanted.digest, Arc::clone(&pack));
        let (folder, limit) = (self.folder.clone(), self.limit);
        // Eviction is a courtesy to the disk: a failure of it must not fail the batch.
        if let Err(error) = tokio::task::spawn_blocking(move || evict(&folder, limit, &files)).await.unwrap_or(Ok(())) {
            tracing::warn!(%error, "the pack cache cannot be tidied");
        }
        Ok(pack)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.file"))
    }

    fn of_bucket(&self, what: &str, error: &artifacts::ArtifactError) -> Ended {
        let reason = match error.class() {
            artifacts::ArtifactClass::Unavailable | artifacts::ArtifactClass::Denied => Reason::StorageUnavailable,
            artifacts::ArtifactClass::Missing | artifacts::ArtifactClass::Mismatch => Reason::PackInvalid,
        };
        Ended::failed(reason, format!("the pack {what}: {}", with_causes(error)))
    }

    /// Brings a file here. Several processes may want it at once: one fetches, the others wait and find it.
    async fn fetch(&self, digest: Digest, what: &str) -> Result<(), Ended> {
        let failed = |error: io::Error| Ended::failed(Reason::StorageUnavailable, format!("the pack cache: {error}"));
        let (folder, path) = (self.folder.clone(), self.path(digest));
        let locked = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join(format!("{digest}.lock")))?;
            // Released when it is dropped, and by the system when the process dies.
            lock.lock()?;
            let sound = match File::open(&path) {
                Ok(file) if digest_of(&file)? == digest => {
                    // The time of last use, for eviction; best effort.
                    let _ = file.set_modified(SystemTime::now());
                    true
                }
                Ok(_) => false,
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(error),
            };
            Ok((lock, sound))
        });
        let (lock, sound) = locked.await.map_err(failed)?;
        if !sound {
            let (part, path) = (self.folder.join(format!("{digest}.part")), self.path(digest));
            let bytes = self.artifacts.get_file(digest, &part).await.map_err(|e| self.of_bucket(what, &e))?;
            tokio::fs::rename(&part, &path).await.map_err(failed)?;
            tracing::info!(file = what, %digest, bytes, "fetched a file of a pack");
        }
        drop(lock);
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Hashes a file in pieces: weights may be larger than the memory.
fn digest_of(mut file: &File) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    Ok(Digest::from_bytes(hash.finalize().into()))
}

/// Removes the files unused for longest until `limit` holds, sparing those of the pack just opened.
fn evict(folder: &Path, limit: u64, spared: &HashSet<Digest>) -> std::io::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(digest) = name.strip_suffix(".file").and_then(|hex| hex.parse::<Digest>().ok()) {
            files.push((meta.modified()?, meta.len(), digest, entry.path()));
        }
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes, ..)| bytes).sum();
    for (_, bytes, digest, path) in files {
        if total <= limit {
            break;
        }
        if !spared.contains(&digest) {
            std::fs::remove_file(&path)?;
            total -= bytes;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_file_unused_for_longest_goes_first_and_the_present_pack_stays() {
        let folder = tempfile::tempdir().unwrap();
        let digests: Vec<_> = (0..4_u8).map(|i| Digest::of([i])).collect();
        for (age, digest) in digests.iter().enumerate() {
            let path = folder.path().join(format!("{digest}.file"));
            std::fs::write(&path, [0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(1000 - age as u64);
            std::fs::File::open(&path).unwrap().set_modified(used).unwrap();
        }
        evict(folder.path(), 250, &HashSet::from([digests[0]])).unwrap();
        let left: Vec<_> = digests.iter().map(|d| folder.path().join(format!("{d}.file")).exists()).collect();
        assert_eq!(left, [true, false, false, true]);
    }
}
