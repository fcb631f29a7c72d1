//! What is kept until it is whole, and the note of how far it is. One process at a time.

use super::plan::Identity;
use anyhow::{Context as _, Result, bail};
use domain::Digest;
use exports::{Columns, Row, Written};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

const NOTE: &str = "state.json";
const ROWS: &str = "rows.jsonl";

/// How far an export is. Lengths are those of staged files after the last whole row.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct State {
    /// What is exported.
    pub identity: Identity,
    /// The columns of its tables.
    pub columns: Columns,
    /// Pairs by split.
    pub splits: BTreeMap<String, u64>,
    /// All pairs.
    pub total: u64,
    /// Whether images of an earlier run may be there already.
    pub repeated: bool,
    /// The task that the last row is of.
    pub cursor: Option<String>,
    /// Rows so far.
    pub pairs: u64,
    /// Length of the staged rows.
    pub rows_bytes: u64,
    /// The shard of each split that is being filled.
    pub shards: BTreeMap<String, OpenShard>,
    /// Whole shards that may not have been brought to their place.
    pub pending: Vec<String>,
    /// Whole shards.
    pub files: BTreeMap<String, Written>,
}

/// A shard that is being filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OpenShard {
    /// Its number.
    pub index: u32,
    /// Its length.
    pub bytes: u64,
    /// Samples in it.
    pub samples: u64,
}

/// A row that is staged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Staged {
    /// What its file names are relative to: a folder or a shard, with a slash behind it.
    pub folder: String,
    /// The row.
    pub row: Row,
}

/// The folder of what is not whole.
#[derive(Debug)]
pub struct Staging {
    folder: PathBuf,
    /// Held until this is dropped.
    _lock: File,
}

impl Staging {
    /// Takes the folder for this process.
    ///
    /// # Errors
    /// When another process has it, or it cannot be made.
    pub fn open(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be created", folder.display()))?;
        let path = folder.join("lock");
        let lock = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        if lock.try_lock().is_err() {
            bail!("another process exports to the same place ({} is locked); wait until it has ended", path.display());
        }
        Ok(Self { folder, _lock: lock })
    }

    /// Where a staged file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The note, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(&self) -> Result<Option<State>> {
        let path = self.path(NOTE);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        let unusable = || {
            let folder = self.folder.display();
            format!("{} is not a note of this version; remove {folder} to begin again", path.display())
        };
        serde_json::from_slice(&text).map(Some).with_context(unusable)
    }

    /// Writes the note. What it speaks of must be on disk already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &State) -> Result<()> {
        let path = self.path(NOTE);
        let part = path.with_extension("part");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            file.sync_data()?;
            std::fs::rename(&part, &path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// A staged file, cut to `bytes`, to be gone on with.
    ///
    /// # Errors
    /// When it is not there, or shorter.
    pub fn resume(&self, name: &str, bytes: u64) -> Result<BufWriter<File>> {
        let path = self.path(name);
        let open = || -> std::io::Result<File> {
            // not `append`: behind a cut the place to write at would be the system's idea
            let mut file = File::options().create(true).write(true).truncate(false).open(&path)?;
            if file.metadata()?.len() < bytes {
                return Err(std::io::Error::other("it is shorter than was noted"));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(file)
        };
        let folder = self.folder.display();
        let file = open()
            .with_context(|| format!("{} cannot be gone on with; remove {folder} to begin again", path.display()))?;
        Ok(BufWriter::with_capacity(1 << 20, file))
    }

    /// An empty staged file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, name: &str) -> Result<BufWriter<File>> {
        self.resume(name, 0)
    }

    /// The staged rows, to be gone on with.
    ///
    /// # Errors
    /// When they are not there, or fewer than noted.
    pub fn append_rows(&self, state: &State) -> Result<Rows> {
        Ok(Rows { out: self.resume(ROWS, state.rows_bytes)?, bytes: state.rows_bytes })
    }

    /// The staged rows up to the noted length.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rows(&self, state: &State) -> Result<impl Iterator<Item = Result<Staged>>> {
        let path = self.path(ROWS);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && state.rows_bytes == 0 => None,
            file => Some(file.with_context(|| format!("{} cannot be read", path.display()))?),
        };
        let lines = file.into_iter().flat_map({
            let bytes = state.rows_bytes;
            move |file| BufReader::with_capacity(1 << 18, file.take(bytes)).lines()
        });
        let damaged = move || format!("{} is damaged; remove its folder to begin again", path.display());
        Ok(lines.map(move |line| {
            let line = line.with_context(&damaged)?;
            serde_json::from_str(&line).with_context(&damaged)
        }))
    }

    /// Removes everything: the export is whole.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(self) -> Result<()> {
        let folder = self.folder;
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))
    }
}

/// Rows on their way to disk.
#[derive(Debug)]
pub struct Rows {
    out: BufWriter<File>,
    bytes: u64,
}

impl Rows {
    /// Adds a row.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, staged: &Staged) -> Result<()> {
        let mut line = serde_json::to_vec(staged)?;
        line.push(b'\n');
        self.out.write_all(&line).context("a staged row cannot be written")?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Brings what was added to disk; the length.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn sync(&mut self) -> Result<u64> {
        sync(&mut self.out).context("staged rows cannot be written")?;
        Ok(self.bytes)
    }
}

/// Brings what was written to disk.
///
/// # Errors
/// When the disk is full.
pub fn sync(out: &mut BufWriter<File>) -> std::io::Result<()> {
    out.flush()?;
    out.get_ref().sync_data()
}

/// Digest and length of a file.
///
/// # Errors
/// When it cannot be read.
pub fn written(path: &Path) -> std::io::Result<Written> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(Written { sha256: Digest::from_bytes(hash.finalize().into()), bytes });
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
}
