//! A pack on disk.

use crate::error::PackError;
use crate::manifest::{Manifest, PackFile, Role};
use domain::Digest;
use std::path::{Path, PathBuf};

/// Name of the manifest in a pack's folder.
pub const MANIFEST: &str = "pack.toml";

/// Far above any real manifest; keeps a mistaken path (say, a folder of weights named pack.toml) from filling the memory.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// An opened pack: its manifest is sound and every file it names exists. Whether they hold what the manifest says is
/// [`Pack::verify`]'s question.
#[derive(Clone, Debug)]
pub struct Pack {
    dir: PathBuf,
    text: String,
    manifest: Manifest,
}

impl Pack {
    /// Opens the pack in `dir`.
    ///
    /// # Errors
    /// No readable `pack.toml`, a key that is wrong, or a missing file; each named.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, PackError> {
        let dir = dir.into();
        let text = read_manifest(&dir)?;
        let manifest = Manifest::from_toml(&text)?;
        for file in manifest.files() {
            let path = dir.join(file.file);
            if !path.is_file() {
                return Err(PackError::Missing { role: file.role, path });
            }
        }
        if let Some(path) = manifest.documents.iter().map(|d| dir.join(d)).find(|path| !path.is_file()) {
            return Err(PackError::MissingDocument(path));
        }
        Ok(Self { dir, text, manifest })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What `pack.toml` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// `pack.toml` as it was read, comments included: what travels with the pack's files.
    pub fn manifest_text(&self) -> &str {
        &self.text
    }

    /// The identity of the pack; see [`Manifest::digest`].
    pub fn digest(&self) -> Digest {
        self.manifest.digest()
    }

    /// Where a file of the manifest lies.
    pub fn path(&self, file: &PackFile<'_>) -> PathBuf {
        self.dir.join(file.file)
    }

    /// Where the file with this role lies, if the pack has one.
    pub fn path_of(&self, role: Role) -> Option<PathBuf> {
        self.manifest.files().iter().find(|file| file.role == role).map(|file| self.path(file))
    }
}

/// Reads the text of a folder's `pack.toml`.
pub(crate) fn read_manifest(dir: &Path) -> Result<String, PackError> {
    let path = dir.join(MANIFEST);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(PackError::NoManifest(dir.to_owned()));
        }
        Err(error) => return Err(PackError::io(path)(error)),
        Ok(meta) if meta.len() > MANIFEST_LIMIT => {
            return Err(PackError::io(path)(std::io::Error::other("over 1 MiB: this is no pack manifest")));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(&path).map_err(PackError::io(path))
}
