//! Packs fetched from the bucket on demand, kept in a folder as files named by their digest.
//!
//! A file enters the folder whole (fetched aside, verified, then renamed); one that lies there from an earlier process is hashed
//! once before this one uses it. A fetch that was cut short goes on where it was, in this process or another. Several processes may
//! share the folder ([`shelf`]): one fetches a file, and none removes what another uses.
//!
//! The limit holds for what is not in use: the packs that this process used last are kept, however large they are, and a pack that is
//! larger than the limit is used with a warning. It can be exceeded for the length of a fetch, by what other processes fetch
//! meanwhile.

mod shelf;

use crate::engine::LocalPack;
use crate::stages::ended::{Ended, with_causes};
use artifacts::{ArtifactClass, ArtifactError, Artifacts};
use domain::{Digest, Reason};
use packs::Manifest;
use sha2::{Digest as _, Sha256};
use shelf::{Kept, Room, Shelf, Stamp};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::broker::v1::PackRef;

/// The folder, and the packs that this process has opened.
pub struct PackCache {
    shelf: Shelf,
    artifacts: Artifacts,
    /// Packs that stay open when no batch uses them.
    most: usize,
    known: Mutex<Known>,
    /// Held while a pack is brought here, so that two batches of one pack fetch it once.
    bringing: tokio::sync::Mutex<()>,
}

/// What this process knows of the folder.
#[derive(Default)]
struct Known {
    /// The packs used last, the latest at the end. Each keeps its files here.
    open: Vec<Arc<LocalPack>>,
    /// Files that this process has read whole and found sound.
    sound: HashMap<Digest, Stamp>,
}

impl PackCache {
    /// A cache in `folder` (made when needed) of at most `limit` bytes, of which the `most` packs used last stay in use.
    pub fn new(folder: PathBuf, limit: u64, most: usize, artifacts: Artifacts) -> Self {
        let shelf = Shelf::new(folder, limit);
        Self { shelf, artifacts, most: most.max(1), known: Mutex::default(), bringing: tokio::sync::Mutex::default() }
    }

    /// The pack, fetched if it is not here. Its files stay while the answer lives.
    ///
    /// # Errors
    /// `storage_unavailable` when the bucket or the folder fails; `pack_invalid` when it is not the pack it should be.
    pub async fn pack(&self, wanted: &PackRef) -> Result<Arc<LocalPack>, Ended> {
        if let Some(pack) = self.opened(wanted.digest) {
            return Ok(pack);
        }
        let _bringing = self.bringing.lock().await;
        if let Some(pack) = self.opened(wanted.digest) {
            return Ok(pack);
        }
        let manifest = self.manifest(wanted).await?;
        // Two roles may share a file.
        let named =
            |file: packs::PackFile<'_>| (file.sha256, format!("{}: {} ({})", wanted.name, file.file, file.role));
        let files: BTreeMap<Digest, String> = manifest.files().into_iter().map(named).collect();
        let (mut kept, mut missing) = (Vec::new(), Vec::new());
        for (&digest, what) in &files {
            match self.sound(digest).await? {
                Some(file) => kept.push(file),
                None => missing.push((digest, what)),
            }
        }
        let mut incoming = 0;
        for (digest, what) in &missing {
            incoming += self.artifacts.size(*digest).await.map_err(|e| self.failed(what, &e))?.unwrap_or(0);
        }
        let digests = files.keys().copied().collect();
        self.make_room(&wanted.name, incoming, digests).await;
        for (digest, what) in missing {
            kept.push(self.fetch(digest, what).await?);
        }
        let pack = LocalPack::new(manifest, |file| self.shelf.path(file.sha256));
        let pack = Arc::new(pack.keeping(kept.into_iter().map(Kept::into_file).collect()));
        let mut known = self.known();
        known.open.push(Arc::clone(&pack));
        let surplus = known.open.len().saturating_sub(self.most);
        known.open.drain(..surplus);
        Ok(pack)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change of it is one step, so a panic leaves nothing half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pack, if this process has it open. Its files cannot be evicted, but whoever owns the folder may have emptied it.
    fn opened(&self, digest: Digest) -> Option<Arc<LocalPack>> {
        let mut known = self.known();
        let at = known.open.iter().position(|pack| pack.digest == digest)?;
        let pack = known.open.remove(at);
        if pack.manifest.files().iter().any(|file| !self.shelf.path(file.sha256).is_file()) {
            return None;
        }
        known.open.push(Arc::clone(&pack));
        Some(pack)
    }

    async fn manifest(&self, wanted: &PackRef) -> Result<Manifest, Ended> {
        let invalid = |what: String| Ended::failed(Reason::PackInvalid, format!("the pack {}: {what}", wanted.name));
        let text = self.artifacts.get(wanted.manifest).await.map_err(|e| self.failed(&wanted.name, &e))?;
        let text = std::str::from_utf8(&text).map_err(|e| invalid(e.to_string()))?;
        let manifest = Manifest::from_toml(text).map_err(|e| invalid(with_causes(&e)))?;
        if manifest.digest() != wanted.digest {
            return Err(invalid(format!(
                "its manifest has digest {}, {} was asked for",
                manifest.digest(),
                wanted.digest
            )));
        }
        Ok(manifest)
    }

    /// The file, if it is here and has its digest. It is read whole once in a process, and again when it has changed.
    async fn sound(&self, digest: Digest) -> Result<Option<Kept>, Ended> {
        let (shelf, known) = (self.shelf.clone(), self.known().sound.get(&digest).copied());
        let looked = blocking(move || {
            let Some(kept) = shelf.take(digest)? else { return Ok(None) };
            let stamp = kept.stamp()?;
            let sound = known == Some(stamp) || digest_of(kept.file())? == digest;
            Ok(Some((kept, stamp, sound)))
        });
        match looked.await.map_err(|error| self.broken(&error))? {
            Some((kept, stamp, true)) => {
                self.known().sound.insert(digest, stamp);
                Ok(Some(kept))
            }
            Some((..)) => {
                tracing::warn!(%digest, folder = %self.shelf.folder().display(), "a cached file is damaged: fetching it anew");
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Brings a file here. Several processes may want it at once: one fetches, the others wait and find it.
    async fn fetch(&self, digest: Digest, what: &str) -> Result<Kept, Ended> {
        let shelf = self.shelf.clone();
        let part = blocking(move || shelf.begin(digest)).await.map_err(|error| self.broken(&error))?;
        if let Some(file) = self.sound(digest).await? {
            // Another process brought it while this one waited.
            blocking(move || part.discard()).await.map_err(|error| self.broken(&error))?;
            return Ok(file);
        }
        let bytes = self.artifacts.get_file(digest, &part.path).await.map_err(|error| self.failed(what, &error))?;
        let shelf = self.shelf.clone();
        let fetched = blocking(move || {
            let kept = shelf.finish(digest, part)?;
            Ok((kept.stamp()?, kept))
        });
        let (stamp, kept) = fetched.await.map_err(|error| self.broken(&error))?;
        self.known().sound.insert(digest, stamp);
        tracing::info!(file = what, %digest, bytes, "fetched a file of a pack");
        Ok(kept)
    }

    /// Makes room for what is to be fetched of a pack: first by what nobody uses, then by what only this process keeps open.
    /// Eviction is a courtesy to the disk: a failure of it must not fail the batch.
    async fn make_room(&self, pack: &str, incoming: u64, wanted: HashSet<Digest>) {
        for last in [false, true] {
            let (shelf, wanted) = (self.shelf.clone(), wanted.clone());
            match blocking(move || shelf.make_room(incoming, &wanted)).await {
                Ok(Room { fits: true, .. }) => return,
                Ok(Room { bytes, .. }) if last => {
                    let limit = self.shelf.limit();
                    tracing::warn!(
                        pack,
                        bytes,
                        limit,
                        "the packs in use are larger than the cache may be; give it more with --cache-bytes or CFX_CACHE_BYTES"
                    );
                }
                // One that a batch holds, too, is in use; the others are let go.
                Ok(_) => self.known().open.retain(|pack| Arc::strong_count(pack) > 1),
                Err(error) => {
                    tracing::warn!(%error, "the pack cache cannot be tidied");
                    return;
                }
            }
        }
    }

    fn failed(&self, what: &str, error: &ArtifactError) -> Ended {
        if let ArtifactError::File { source, .. } = error {
            return self.broken(source);
        }
        let reason = match error.class() {
            ArtifactClass::Unavailable | ArtifactClass::Denied => Reason::StorageUnavailable,
            ArtifactClass::Missing | ArtifactClass::Mismatch => Reason::PackInvalid,
        };
        Ended::failed(reason, format!("the pack {what}: {}", with_causes(error)))
    }

    /// The folder fails.
    fn broken(&self, error: &io::Error) -> Ended {
        let folder = self.shelf.folder().display();
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let remedy =
            if full { "; free some of the disk, or give the worker another folder (CFX_CACHE_DIR)" } else { "" };
        Ended::failed(Reason::StorageUnavailable, format!("the pack cache in {folder}: {error}{remedy}"))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Hashes a file in pieces: weights may be larger than the memory.
fn digest_of(mut file: &std::fs::File) -> io::Result<Digest> {
    let (mut hash, mut chunk) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match io::Read::read(&mut file, &mut chunk) {
            Ok(0) => return Ok(Digest::from_bytes(hash.finalize().into())),
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
