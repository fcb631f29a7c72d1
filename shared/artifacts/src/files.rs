//! Artifacts larger than the memory: files are sent and fetched in pieces, and a fetch that breaks off goes on where it was.

use crate::error::ArtifactError;
use crate::store::Artifacts;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

    /// Stores a file under its digest, which the caller has computed. A crash in between leaves parts that the store's own clean-up
    /// of unfinished uploads removes; the object appears whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be read, does not have the digest, or the store does not confirm the upload.
    pub async fn put_file(&self, digest: Digest, path: &Path) -> Result<(), ArtifactError> {
        let key = digest.cas_key();
        let unreadable = |source| ArtifactError::File { path: path.to_owned(), source };
        let mut file = File::open(path).await.map_err(unreadable)?;
        let size = file.metadata().await.map_err(unreadable)?.len();
        if size <= PIECE {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).await.map_err(unreadable)?;
            let found = Digest::of(&bytes);
            if found != digest {
                return Err(ArtifactError::Mismatch { named: digest, found });
            }
            return self.put(bytes).await.map(drop);
        }
        let begun = self.client.create_multipart_upload().bucket(&self.bucket).key(&key);
        let begun =
            begun.content_type("application/octet-stream").checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
        let begun = begun.map_err(|e| ArtifactError::of_call(&key, &e))?;
        let Some(upload) = begun.upload_id() else {
            return Err(ArtifactError::unavailable(&key, "no upload was begun"));
        };
        let sent = self.send_parts(&mut file, path, &key, upload, digest).await;
        if sent.is_err() {
            // The error of the upload matters; unfinished parts are removed by the store in time.
            let _ = self.client.abort_multipart_upload().bucket(&self.bucket).key(&key).upload_id(upload).send().await;
        }
        sent
    }

    async fn send_parts(
        &self,
        file: &mut File,
        path: &Path,
        key: &str,
        upload: &str,
        digest: Digest,
    ) -> Result<(), ArtifactError> {
        let mut hash = Sha256::new();
        let mut parts = Vec::new();
        for number in 1.. {
            let mut piece = Vec::new();
            let read = (&mut *file).take(PIECE).read_to_end(&mut piece).await;
            if read.map_err(|source| ArtifactError::File { path: path.to_owned(), source })? == 0 {
                break;
            }
            hash.update(&piece);
            let checksum = STANDARD.encode(Sha256::digest(&piece));
            let sending = self.client.upload_part().bucket(&self.bucket).key(key).upload_id(upload).part_number(number);
            let sent = sending.checksum_sha256(&checksum).body(ByteStream::from(piece)).send().await;
            let sent = sent.map_err(|e| ArtifactError::of_call(key, &e))?;
            let part = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
            parts.push(part.set_e_tag(sent.e_tag().map(str::to_owned)).build());
        }
        let found = Digest::from_bytes(hash.finalize().into());
        if found != digest {
            return Err(ArtifactError::Mismatch { named: digest, found });
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let ended = self.client.complete_multipart_upload().bucket(&self.bucket).key(key).upload_id(upload);
        ended.multipart_upload(parts).send().await.map(drop).map_err(|e| ArtifactError::of_call(key, &e))
    }

    /// Fetches the artifact into `part`, going on after the bytes that are there from an earlier try, and verifies the whole. A file
    /// that turns out wrong is removed.
    ///
    /// # Errors
    /// Missing, damaged, the store's, or the file's.
    pub async fn get_file(&self, digest: Digest, part: &Path) -> Result<u64, ArtifactError> {
        let key = digest.cas_key();
        let Some(size) = self.size(digest).await? else {
            return Err(ArtifactError::Missing { object: key });
        };
        let failed = |source: io::Error| ArtifactError::File { path: part.to_owned(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part).await.map_err(failed)?;
        let mut have = file.metadata().await.map_err(failed)?.len();
        if have > size {
            file.set_len(0).await.map_err(failed)?;
            have = 0;
        }
        let mut hash = Sha256::new();
        let mut read = 0;
        let mut chunk = vec![0; 1 << 20];
        while read < have {
            let count = file.read(&mut chunk).await.map_err(failed)?;
            if count == 0 {
                break;
            }
            hash.update(&chunk[..count]);
            read += count as u64;
        }
        file.seek(io::SeekFrom::Start(read)).await.map_err(failed)?;
        if read > 0 {
            tracing::info!(%digest, read, size, "a fetch goes on where it was");
        }
        while read < size {
            let piece = self.range(digest, read, PIECE.min(size - read)).await?;
            file.write_all(&piece).await.map_err(failed)?;
            hash.update(&piece);
            read += piece.len() as u64;
        }
        file.sync_all().await.map_err(failed)?;
        let found = Digest::from_bytes(hash.finalize().into());
        if found != digest {
            tokio::fs::remove_file(part).await.map_err(failed)?;
            return Err(ArtifactError::Mismatch { named: digest, found });
        }
        Ok(size)
    }
}
