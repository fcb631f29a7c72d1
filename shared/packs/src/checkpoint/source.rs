//! Where bytes come from: a stretch of the open file, or of memory for what was inflated.

use super::{CheckpointError, Fault};
use rawzip::{FileReader, ReaderAt};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes a cursor reads ahead.
const CHUNK: u64 = 1 << 16;

/// An open file, read by position so that tensors of one file can be read from several threads.
#[derive(Debug)]
pub(super) struct Source {
    reader: FileReader,
    path: PathBuf,
    len: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Fault> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Fault::NotACheckpoint {
                looks_like: "a folder or device".to_owned(),
                remedy: "name the file inside".to_owned(),
            });
        }
        Ok(Self { reader: file.into(), path: path.to_owned(), len: metadata.len() })
    }
}

/// A stretch of bytes that is read when asked for.
#[derive(Clone)]
pub struct Blob {
    source: Arc<Source>,
    memory: Option<Arc<[u8]>>,
    start: u64,
    len: u64,
}

impl Blob {
    pub(super) fn whole(source: Arc<Source>) -> Self {
        let len = source.len;
        Self { source, memory: None, start: 0, len }
    }

    /// Bytes in memory that belong to the same file.
    pub(super) fn beside(&self, bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { source: Arc::clone(&self.source), memory: Some(bytes.into()), start: 0, len }
    }

    /// A part of it. `None` where it would reach beyond the end.
    pub(super) fn part(&self, offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then(|| Self { start: self.start + offset, len, ..self.clone() })
    }

    /// Which stretch of the file it is; `None` for memory.
    pub(super) fn place(&self) -> Option<(u64, u64)> {
        self.memory.is_none().then_some((self.start, self.len))
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of its bytes.
    ///
    /// # Errors
    /// When the file can no longer be read or became shorter.
    pub fn read(&self) -> Result<Vec<u8>, CheckpointError> {
        self.read_range(0, self.len).map_err(|fault| self.blame(fault))
    }

    pub(super) fn path(&self) -> &Path {
        &self.source.path
    }

    pub(super) fn blame(&self, fault: Fault) -> CheckpointError {
        CheckpointError { path: self.source.path.clone(), fault }
    }

    pub(super) fn read_range(&self, offset: u64, len: u64) -> Result<Vec<u8>, Fault> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Fault::Truncated { missing: format!("{len} bytes at {offset} of {} are missing", self.len) });
        }
        let size = usize::try_from(len).map_err(|_| Fault::Limit(format!("{len} bytes at once")))?;
        let mut bytes = vec![0; size];
        self.read_at(&mut bytes, self.start + offset)?;
        Ok(bytes)
    }

    /// `at` counts from the beginning of the file or memory; the callers hold it within this stretch.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> Result<(), Fault> {
        match &self.memory {
            Some(memory) => memory.as_ref().read_exact_at(bytes, at)?,
            None => self.source.reader.read_exact_at(bytes, at)?,
        }
        Ok(())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.len)
    }
}

/// Reads a stretch from its beginning, and says what is missing where it ends.
pub(super) struct Cursor {
    blob: Blob,
    at: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Cursor {
    pub(super) fn new(blob: Blob) -> Self {
        Self { blob, at: 0, buffer: Vec::new(), buffer_at: 0 }
    }

    /// How far it has read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn left(&self) -> u64 {
        self.blob.len - self.at
    }

    pub(super) fn blob(&self) -> &Blob {
        &self.blob
    }

    fn need(&self, len: u64, what: &str) -> Result<(), Fault> {
        let left = self.left();
        if len <= left {
            return Ok(());
        }
        let missing = format!("{what} at byte {} needs {len} bytes, {left} are left", self.at);
        Err(Fault::Truncated { missing })
    }

    pub(super) fn byte(&mut self, what: &str) -> Result<u8, Fault> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        self.need(N as u64, what)?;
        let offset = self.at.checked_sub(self.buffer_at).and_then(|offset| usize::try_from(offset).ok());
        let mut bytes = [0; N];
        let found = offset.and_then(|offset| self.buffer.get(offset..offset.checked_add(N)?));
        if let Some(found) = found {
            bytes.copy_from_slice(found);
        } else {
            self.buffer = self.blob.read_range(self.at, self.left().min(CHUNK.max(N as u64)))?;
            self.buffer_at = self.at;
            bytes.copy_from_slice(&self.buffer[..N]);
        }
        self.at += N as u64;
        Ok(bytes)
    }

    /// Bytes now in memory. Whoever calls has bounded `len`; that they are there is checked here, before memory is taken.
    pub(super) fn take(&mut self, len: u64, what: &str) -> Result<Vec<u8>, Fault> {
        self.need(len, what)?;
        let bytes = self.blob.read_range(self.at, len)?;
        self.at += len;
        Ok(bytes)
    }

    /// Bytes left where they are.
    pub(super) fn pass(&mut self, len: u64, what: &str) -> Result<Blob, Fault> {
        self.need(len, what)?;
        // Safe because `need` just held it within the stretch.
        let blob = self.blob.part(self.at, len).ok_or_else(|| Fault::malformed("a length beyond the file"))?;
        self.at += len;
        Ok(blob)
    }

    /// Text up to a newline, without it.
    pub(super) fn line(&mut self, limit: usize, what: &str) -> Result<Vec<u8>, Fault> {
        let mut line = Vec::new();
        loop {
            match self.byte(what)? {
                b'\n' => return Ok(line),
                byte => line.push(byte),
            }
            if line.len() > limit {
                return Err(Fault::Limit(format!("{what} of more than {limit} bytes")));
            }
        }
    }

    pub(super) fn expect_end(&self) -> Result<(), Fault> {
        match self.left() {
            0 => Ok(()),
            left => Err(Fault::malformed(format!("{left} bytes follow after its end"))),
        }
    }
}
