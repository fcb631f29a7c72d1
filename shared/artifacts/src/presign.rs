//! Addresses under which others may write one artifact each, without our keys.

use crate::client::S3Config;
use crate::error::ArtifactError;
use crate::store::Artifacts;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Digest;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Signs addresses. Cheap to clone once connected.
#[derive(Debug)]
pub struct Presigner {
    client: Client,
    bucket: String,
    /// Whether the store compares checksums, once that is known.
    safe: OnceCell<bool>,
}

/// A signed address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedUpload {
    /// `PUT` goes there.
    pub url: String,
    /// What must go with it, exactly: it is part of the signature.
    pub headers: BTreeMap<String, String>,
}

impl Presigner {
    /// Signs for `endpoint` where others reach the store under another address than we do.
    pub fn connect(config: &S3Config, endpoint: Option<String>) -> Self {
        let config = S3Config { endpoint: endpoint.or_else(|| config.endpoint.clone()), ..config.clone() };
        Self { client: config.client(), bucket: config.bucket, safe: OnceCell::new() }
    }

    /// An address for the artifact `digest` of `bytes` bytes. The store refuses other bytes, and any where the artifact is there.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn address(&self, digest: Digest, bytes: u64, good_for: Duration) -> Result<SignedUpload, ArtifactError> {
        let key = digest.cas_key();
        let unsigned = |detail: String| ArtifactError::unavailable(&key, format!("no address was signed: {detail}"));
        let config = PresigningConfig::expires_in(good_for).map_err(|error| unsigned(error.to_string()))?;
        let length = i64::try_from(bytes).map_err(|error| unsigned(error.to_string()))?;
        let put = self.client.put_object().bucket(&self.bucket).key(&key).content_length(length);
        let put = put.checksum_sha256(STANDARD.encode(digest.as_bytes())).if_none_match("*");
        let signed = put.presigned(config).await.map_err(|error| ArtifactError::of_call(&key, &error))?;
        let headers = signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(SignedUpload { url: signed.uri().to_owned(), headers })
    }

    /// Whether the store compares what it gets with the checksum that is said. Tried once, with an object of a few bytes.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn are_safe(&self, artifacts: &Artifacts) -> Result<bool, ArtifactError> {
        self.safe.get_or_try_init(|| artifacts.compares_checksums()).await.copied()
    }
}

impl Artifacts {
    /// Whether the store refuses bytes that have another SHA-256 than is said, and does not keep them: an object under another's digest
    /// would stand in its way.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn compares_checksums(&self) -> Result<bool, ArtifactError> {
        let key = format!("probes/checksum-{}", uuid::Uuid::new_v4());
        let wrong = STANDARD.encode(Digest::of(b"other bytes").as_bytes());
        let put = self.client.put_object().bucket(&self.bucket).key(&key).checksum_sha256(wrong);
        let answer = put.body(ByteStream::from_static(b"bytes")).send().await;
        let status = match &answer {
            Ok(_) => 200,
            Err(error) => error.raw_response().map_or(0, |answer| answer.status().as_u16()),
        };
        let kept = self.client.head_object().bucket(&self.bucket).key(&key).send().await.is_ok();
        if !kept {
            return if status == 400 {
                Ok(true)
            } else {
                answer.map(|_| false).map_err(|error| ArtifactError::of_call(&key, &error))
            };
        }
        let removal = self.client.delete_object().bucket(&self.bucket).key(&key).send().await;
        if let Err(error) = removal {
            tracing::debug!(key, error = %ArtifactError::of_call(&key, &error), "a probe was not removed");
        }
        Ok(false)
    }
}
