//! Artifacts larger than the memory, stored while they arrive.

use crate::error::ArtifactError;
use crate::files::PIECE;
use crate::store::Artifacts;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::Digest;
use sha2::{Digest as _, Sha256};

/// An artifact on its way into the bucket, of which at most one piece ([`PIECE`]) is in memory.
///
/// Nothing appears in the bucket before [`Upload::finish`] has seen that the bytes have the digest. One that is dropped before
/// takes its pieces back; what a killed process leaves is removed by the store's own clean-up of unfinished uploads.
#[derive(Debug)]
pub struct Upload {
    artifacts: Artifacts,
    digest: Digest,
    hash: Sha256,
    piece: Vec<u8>,
    /// Begun with the first full piece; most artifacts never have one.
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    id: String,
    parts: Vec<CompletedPart>,
}

impl Artifacts {
    /// Begins to store what is said to have `digest`.
    pub fn upload(&self, digest: Digest) -> Upload {
        Upload { artifacts: self.clone(), digest, hash: Sha256::new(), piece: Vec::new(), begun: None }
    }
}

impl Upload {
    /// The next bytes.
    ///
    /// # Errors
    /// When the store does not take a piece.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<(), ArtifactError> {
        self.hash.update(bytes);
        while self.piece.len() + bytes.len() > PIECE as usize {
            // Safe to split: the loop's condition says that so many are there.
            let (now, later) = bytes.split_at(PIECE as usize - self.piece.len());
            self.piece.extend_from_slice(now);
            self.send().await?;
            bytes = later;
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes the object appear.
    ///
    /// # Errors
    /// [`ArtifactError::Mismatch`] when the bytes do not have the digest, or the store's; nothing is stored then.
    pub async fn finish(mut self) -> Result<(), ArtifactError> {
        let found = Digest::from_bytes(self.hash.finalize_reset().into());
        if found != self.digest {
            return Err(ArtifactError::Mismatch { named: self.digest, found });
        }
        let key = self.digest.cas_key();
        if self.begun.is_none() {
            let bytes = Bytes::from(std::mem::take(&mut self.piece));
            return self.artifacts.write(&key, bytes, self.digest, "application/octet-stream").await;
        }
        if !self.piece.is_empty() {
            self.send().await?;
        }
        let Some(begun) = &self.begun else { return Ok(()) };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(begun.parts.clone())).build();
        let Artifacts { client, bucket, .. } = &self.artifacts;
        let ended = client.complete_multipart_upload().bucket(bucket).key(&key).upload_id(&begun.id);
        ended.multipart_upload(parts).send().await.map_err(|e| ArtifactError::of_call(&key, &e))?;
        self.begun = None;
        Ok(())
    }

    /// Sends the piece at hand.
    async fn send(&mut self) -> Result<(), ArtifactError> {
        let key = self.digest.cas_key();
        let Artifacts { client, bucket, .. } = &self.artifacts;
        let begun = match &mut self.begun {
            Some(begun) => begun,
            none => {
                let begin = client.create_multipart_upload().bucket(bucket).key(&key);
                let begin =
                    begin.content_type("application/octet-stream").checksum_algorithm(ChecksumAlgorithm::Sha256);
                let answer = begin.send().await.map_err(|e| ArtifactError::of_call(&key, &e))?;
                let id = answer.upload_id().ok_or_else(|| ArtifactError::unavailable(&key, "no upload was begun"))?;
                none.insert(Begun { id: id.to_owned(), parts: Vec::new() })
            }
        };
        let piece = std::mem::take(&mut self.piece);
        let checksum = STANDARD.encode(Sha256::digest(&piece));
        // Safe to narrow: a file of 2^31 pieces has 32 PiB.
        let number = begun.parts.len() as i32 + 1;
        let sending = client.upload_part().bucket(bucket).key(&key).upload_id(&begun.id).part_number(number);
        let sent = sending.checksum_sha256(&checksum).body(ByteStream::from(piece)).send().await;
        let sent = sent.map_err(|e| ArtifactError::of_call(&key, &e))?;
        let part = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
        begun.parts.push(part.set_e_tag(sent.e_tag().map(str::to_owned)).build());
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(Begun { id, .. }) = self.begun.take() else { return };
        // Outside a runtime nobody can tell the store; its own clean-up does it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (artifacts, key) = (self.artifacts.clone(), self.digest.cas_key());
        runtime.spawn(async move {
            let abort = artifacts.client.abort_multipart_upload().bucket(&artifacts.bucket).key(&key).upload_id(id);
            if let Err(error) = abort.send().await {
                let error = ArtifactError::of_call(&key, &error);
                tracing::debug!(%error, "the pieces of an unfinished upload stay until the store removes them");
            }
        });
    }
}
