//! Artifacts larger than the memory, fetched in pieces: a fetch that breaks off goes on where it was.

use crate::error::ArtifactError;
use crate::store::Artifacts;
use bytes::Bytes;
use domain::Digest;
use sha2::{Digest as _, Sha256};
use std::io;
use std::path::Path;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// Bytes sent or fetched at a time. S3 takes parts of 5 MiB and more, and 10,000 of them: files of 160 GB.
pub const PIECE: u64 = 16 << 20;

impl Artifacts {
    /// Bytes of the artifact; `None` if it is not there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn size(&self, digest: Digest) -> Result<Option<u64>, ArtifactError> {
        let key = digest.cas_key();
        match self.client.head_object().bucket(&self.bucket).key(&key).send().await {
            Ok(head) => Ok(Some(head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0))),
            Err(error) => match ArtifactError::of_call(&key, &error) {
                ArtifactError::Missing { .. } => Ok(None),
                other => Err(other),
            },
        }
    }

    /// A piece of the artifact, unverified: only the whole has a digest.
    ///
    /// # Errors
    /// Missing, or the store's.
    pub async fn range(&self, digest: Digest, from: u64, bytes: u64) -> Result<Bytes, ArtifactError> {
        let key = digest.cas_key();
        let to = from.saturating_add(bytes).saturating_sub(1);
        let bytes = self.read(&self.bucket, &key, Some(format!("bytes={from}-{to}"))).await?;
        if bytes.len() as u64 != to - from + 1 {
            return Err(ArtifactError::unavailable(
                &key,
                format!("{} bytes came where {} were asked for", bytes.len(), to - from + 1),
            ));
        }
        Ok(bytes)
    }

    /// Fetches the artifact into `part`, going on after the bytes that are there from an earlier try, and verifies the whole. If what
    /// was there turns out wrong, all of it is fetched anew, once. A file that is wrong, or that the disk has no room for, is removed.
    ///
    /// # Errors
    /// Missing, damaged, the store's, or the file's.
    pub async fn get_file(&self, digest: Digest, part: &Path) -> Result<u64, ArtifactError> {
        let key = digest.cas_key();
        let Some(size) = self.size(digest).await? else {
            return Err(ArtifactError::Missing { object: key });
        };
        let failed = |source: io::Error| ArtifactError::File { path: part.to_owned(), source };
        let mut file = OpenOptions::new();
        let mut file = file.read(true).write(true).create(true).truncate(false).open(part).await.map_err(failed)?;
        let mut kept = file.metadata().await.map_err(failed)?.len();
        if kept > size {
            kept = 0;
        }
        loop {
            let found = self.go_on(digest, &mut file, kept, size).await;
            match found.map_err(|error| error.of(part)) {
                Ok(found) if found == digest => return Ok(size),
                Ok(found) if kept > 0 => {
                    tracing::warn!(%digest, %found, kept, "what an earlier try left is damaged: fetching all of it anew");
                    kept = 0;
                }
                Ok(found) => {
                    tokio::fs::remove_file(part).await.map_err(failed)?;
                    return Err(ArtifactError::Mismatch { named: digest, found });
                }
                Err(error) => {
                    if error.is_full() {
                        // What takes the last bytes of a disk helps nobody; the reason matters more than a failed removal.
                        let _ = tokio::fs::remove_file(part).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Fetches what follows the first `kept` of `size` bytes; the digest of the whole file.
    async fn go_on(&self, digest: Digest, file: &mut File, kept: u64, size: u64) -> Result<Digest, Broken> {
        let mut hash = Sha256::new();
        file.set_len(kept).await?;
        file.seek(io::SeekFrom::Start(0)).await?;
        let (mut read, mut chunk) = (0, vec![0; 1 << 20]);
        while read < kept {
            let count = file.read(&mut chunk).await?;
            if count == 0 {
                return Err(Broken::File(io::ErrorKind::UnexpectedEof.into()));
            }
            hash.update(&chunk[..count]);
            read += count as u64;
        }
        if read > 0 {
            tracing::info!(%digest, read, size, "a fetch goes on where it was");
        }
        while read < size {
            let piece = self.range(digest, read, PIECE.min(size - read)).await?;
            file.write_all(&piece).await?;
            // Errors of a write show in the next call, and those of the last one only here.
            file.flush().await?;
            hash.update(&piece);
            read += piece.len() as u64;
        }
        file.sync_all().await?;
        Ok(Digest::from_bytes(hash.finalize().into()))
    }
}

/// What broke a fetch off.
enum Broken {
    Store(ArtifactError),
    File(io::Error),
}

impl Broken {
    fn of(self, path: &Path) -> ArtifactError {
        match self {
            Self::Store(error) => error,
            Self::File(source) => ArtifactError::File { path: path.to_owned(), source },
        }
    }
}

impl From<ArtifactError> for Broken {
    fn from(error: ArtifactError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}
