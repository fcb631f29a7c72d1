//! Reading and writing artifacts and results.

use crate::client::S3Config;
use crate::error::ArtifactError;
use crate::uri::S3Uri;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::{Duration, Instant};
use tracing::Instrument as _;

/// Pauses between readings of an object whose bytes do not hash to its name.
const REREADS: [Duration; 3] = [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1)];

/// One bucket; cheap to clone.
#[derive(Clone, Debug)]
pub struct Artifacts {
    pub(crate) client: Client,
    pub(crate) bucket: String,
    body_timeout: Duration,
}

/// An object as a listing shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Part of a listing, in order of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// What to pass as `after` to go on; none at the end.
    pub next: Option<String>,
}

impl Artifacts {
    /// A handle on the bucket. Talks to nobody yet: see [`Artifacts::check`] and [`Artifacts::ensure_bucket`].
    pub fn connect(config: &S3Config) -> Self {
        Self { client: config.client(), bucket: config.bucket.clone(), body_timeout: config.operation_timeout }
    }

    /// Whether the bucket answers, for readiness checks.
    ///
    /// # Errors
    /// As the store says.
    pub async fn check(&self) -> Result<(), ArtifactError> {
        let ask = || self.client.head_bucket().bucket(&self.bucket).send();
        again_if_forbidden(ask).await.map(drop).map_err(|e| match ArtifactError::of_call(&self.bucket, &e) {
            // A bucket that is missing is a wrong setting, not a missing object.
            ArtifactError::Missing { object } => ArtifactError::Denied { object, detail: "no such bucket".to_owned() },
            other => other,
        })
    }

    /// Makes the bucket if it is not there.
    ///
    /// # Errors
    /// When it is neither there nor can be made.
    pub async fn ensure_bucket(&self) -> Result<(), ArtifactError> {
        if self.check().await.is_ok() {
            return Ok(());
        }
        match self.client.create_bucket().bucket(&self.bucket).send().await {
            Ok(_) => Ok(()),
            // Somebody else made it in between, or it may not be made but is there: asking again tells.
            Err(made) => self.check().await.map_err(|_| ArtifactError::of_call(&self.bucket, &made)),
        }
    }

    /// Stores `bytes` under their digest. A repeat writes the same bytes again and is harmless.
    ///
    /// # Errors
    /// When the store does not confirm the upload.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> Result<Digest, ArtifactError> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.write(&digest.cas_key(), bytes, digest, "application/octet-stream").await?;
        Ok(digest)
    }

    /// The artifact `digest`, hashed before it is returned. Bytes that are wrong are read again a few times, over seconds: a
    /// transfer can be garbled, and to call the object itself damaged costs its item for good.
    ///
    /// # Errors
    /// Missing, or damaged ([`ArtifactError::Mismatch`]), or the store's.
    pub async fn get(&self, digest: Digest) -> Result<Bytes, ArtifactError> {
        let mut pauses = REREADS.into_iter();
        loop {
            let bytes = self.read(&self.bucket, &digest.cas_key(), None).await?;
            let found = Digest::of(&bytes);
            if found == digest {
                return Ok(bytes);
            }
            let Some(pause) = pauses.next() else { return Err(ArtifactError::Mismatch { named: digest, found }) };
            tracing::warn!(%digest, %found, "an object's bytes are wrong; reading it again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the artifact is there (its bytes are not read).
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn exists(&self, digest: Digest) -> Result<bool, ArtifactError> {
        let key = digest.cas_key();
        match again_if_forbidden(|| self.client.head_object().bucket(&self.bucket).key(&key).send()).await {
            Ok(_) => Ok(true),
            Err(error) => match ArtifactError::of_call(&key, &error) {
                ArtifactError::Missing { .. } => Ok(false),
                other => Err(other),
            },
        }
    }

    /// Writes the pointer to a finished result, at the key that its stage key gives; everything it points at must be stored before.
    ///
    /// # Errors
    /// When it has no JSON form or the store does not confirm it.
    pub async fn put_result<T: Serialize>(&self, object: &str, result: &T) -> Result<(), ArtifactError> {
        let json = serde_json::to_vec(result);
        let json = json.map_err(|source| ArtifactError::Unwritable { object: object.to_owned(), source })?;
        self.put_at(object, json, "application/json").await
    }

    /// The pointer to a finished result, if there is one.
    ///
    /// # Errors
    /// When it is not what this version writes, or the store's.
    pub async fn get_result<T: DeserializeOwned>(&self, object: &str) -> Result<Option<T>, ArtifactError> {
        match self.read(&self.bucket, object, None).await {
            Ok(json) => {
                let object = object.to_owned();
                serde_json::from_slice(&json).map(Some).map_err(|source| ArtifactError::Unreadable { object, source })
            }
            Err(ArtifactError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an object under a name of its own, for what is not addressed by its content: documents of the archive.
    ///
    /// # Errors
    /// When the store does not confirm it.
    pub async fn put_at(&self, object: &str, bytes: impl Into<Bytes>, kind: &str) -> Result<(), ArtifactError> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.write(object, bytes, digest, kind).await
    }

    /// The bytes of an object that was written by [`Artifacts::put_at`].
    ///
    /// # Errors
    /// Missing, or the store's.
    pub async fn get_at(&self, object: &str) -> Result<Bytes, ArtifactError> {
        self.read(&self.bucket, object, None).await
    }

    /// Up to 1,000 objects of this bucket under `prefix`, in order, after the key `after`.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, ArtifactError> {
        self.list_in(&self.bucket, prefix, after).await
    }

    /// As [`Artifacts::list`] for any bucket the keys may read; the URI's key is the prefix.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list_uri(&self, uri: &S3Uri, after: Option<&str>) -> Result<Page, ArtifactError> {
        self.list_in(&uri.bucket, &uri.key, after).await
    }

    /// The bytes at any address the keys may read. Nothing is known of their digest.
    ///
    /// # Errors
    /// Missing, or the store's.
    pub async fn get_uri(&self, uri: &S3Uri) -> Result<Bytes, ArtifactError> {
        self.read(&uri.bucket, &uri.key, None).await
    }

    async fn list_in(&self, bucket: &str, prefix: &str, after: Option<&str>) -> Result<Page, ArtifactError> {
        let listing = self.client.list_objects_v2().bucket(bucket).prefix(prefix);
        let answer = listing.set_start_after(after.map(str::to_owned)).send().await;
        let answer = answer.map_err(|e| ArtifactError::of_call(&format!("s3://{bucket}/{prefix}"), &e))?;
        let more = answer.is_truncated().unwrap_or(false);
        let objects: Vec<Listed> = answer
            .contents
            .unwrap_or_default()
            .into_iter()
            .filter_map(|o| Some(Listed { key: o.key?, bytes: o.size.and_then(|n| n.try_into().ok()).unwrap_or(0) }))
            .collect();
        let next = objects.last().filter(|_| more).map(|last| last.key.clone());
        Ok(Page { objects, next })
    }

    pub(crate) async fn write(&self, key: &str, bytes: Bytes, digest: Digest, kind: &str) -> Result<(), ArtifactError> {
        timed("write", self.try_write(key, bytes, digest, kind)).await
    }

    async fn try_write(&self, key: &str, bytes: Bytes, digest: Digest, kind: &str) -> Result<(), ArtifactError> {
        let putting = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(kind)
            .checksum_sha256(STANDARD.encode(digest.as_bytes()))
            .body(ByteStream::from(bytes));
        putting.send().await.map(drop).map_err(|e| ArtifactError::of_call(key, &e))
    }

    pub(crate) async fn read(&self, bucket: &str, key: &str, range: Option<String>) -> Result<Bytes, ArtifactError> {
        timed("read", self.try_read(bucket, key, range)).await
    }

    async fn try_read(&self, bucket: &str, key: &str, range: Option<String>) -> Result<Bytes, ArtifactError> {
        // One repeat when the body breaks off: the client retries until the headers are there, and not after.
        for last in [false, true] {
            let answer = self.client.get_object().bucket(bucket).key(key).set_range(range.clone()).send().await;
            let answer = answer.map_err(|e| ArtifactError::of_call(key, &e))?;
            let detail = match tokio::time::timeout(self.body_timeout, answer.body.collect()).await {
                Ok(Ok(body)) => return Ok(body.into_bytes()),
                Ok(Err(error)) => format!("the body broke off: {error}"),
                Err(_) => format!("the body took longer than {:?}", self.body_timeout),
            };
            if last {
                return Err(ArtifactError::unavailable(key, detail));
            }
            tracing::debug!(key, detail, "reading an object again");
        }
        Err(ArtifactError::unavailable(key, "not read"))
    }
}

/// Notes how long a request took with all its retries, and how it ended.
async fn timed<T>(
    op: &'static str,
    request: impl Future<Output = Result<T, ArtifactError>>,
) -> Result<T, ArtifactError> {
    let began = Instant::now();
    let span = tracing::info_span!("s3", otel.name = format!("s3 {op}"), otel.kind = "client");
    let done = request.instrument(span).await;
    let outcome = match &done {
        Ok(_) => "ok",
        Err(ArtifactError::Missing { .. }) => "missing",
        Err(_) => "failed",
    };
    let seconds = began.elapsed().as_secs_f64();
    metrics::histogram!("cfx_s3_request_duration_seconds", "op" => op, "outcome" => outcome).record(seconds);
    done
}

/// Asks by HEAD, once more after a 403. Such an answer has no body, so nothing says whether the clock or the key is wrong; where it
/// was the clock, the client has taken the store's time from the answer and signs with that from now on. (Answers with a body it
/// tells apart and repeats itself.)
async fn again_if_forbidden<T, E, F>(ask: impl Fn() -> F) -> Result<T, SdkError<E, HttpResponse>>
where
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    match ask().await {
        Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 403) => ask().await,
        other => other,
    }
}
