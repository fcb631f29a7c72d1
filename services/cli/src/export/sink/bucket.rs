//! A bucket of the user's, by the user's own AWS settings: environment, profile, or the machine's role.

use anyhow::{Context as _, Result, bail};
use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::Digest;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// Bytes of a part of a large object; 10,000 of them make the 80 GB that no shard or table here comes to.
const PART: usize = 8 << 20;

/// A prefix in a bucket.
#[derive(Debug)]
pub struct Bucket {
    client: Client,
    bucket: String,
    /// Empty, or with a slash behind it.
    prefix: String,
}

impl Bucket {
    /// `s3://bucket/prefix`; asks nothing of the store yet.
    pub async fn open(to: &str) -> Result<Self> {
        let rest = to.strip_prefix("s3://").unwrap_or(to);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            bail!(crate::args::UsageError(format!("'{to}' names no bucket; write s3://bucket/prefix")));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let http = aws_smithy_http_client::Builder::new()
            .pool_idle_timeout(Duration::from_secs(15))
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let settings = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint =
            ["CFX_EXPORT_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].into_iter().find_map(named);
        let mut config = aws_sdk_s3::config::Builder::from(&settings)
            // our own SHA-256 goes with every object; stores other than AWS stumble over a second checksum
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if settings.region().is_none() {
            config = config.region(aws_sdk_s3::config::Region::new("us-east-1"));
        }
        if let Some(endpoint) = endpoint {
            // the bucket in the path: what stores at an address of their own want
            config = config.endpoint_url(endpoint).force_path_style(true);
        }
        Ok(Self { client: Client::from_conf(config.build()), bucket: bucket.to_owned(), prefix })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// One sentence with what the store said.
    fn refused(&self, what: &str, name: &str, error: &(impl std::error::Error + 'static)) -> anyhow::Error {
        let told = DisplayErrorContext(error).to_string();
        let told = told.lines().next().unwrap_or_default().chars().take(300).collect::<String>();
        anyhow::anyhow!("{self}/{name} cannot be {what}; check AWS_* and the rights to the bucket ({told})")
    }

    pub async fn has(&self, name: &str) -> Result<bool> {
        match self.client.head_object().bucket(&self.bucket).key(self.key(name)).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(false),
            Err(error) => Err(self.refused("looked for", name, &error)),
        }
    }

    pub async fn put(&self, name: &str, bytes: Bytes, digest: Digest) -> Result<()> {
        let put = self.client.put_object().bucket(&self.bucket).key(self.key(name));
        let put = put.checksum_sha256(STANDARD.encode(digest.as_bytes())).content_type(exports::media_type(name));
        put.body(ByteStream::from(bytes)).send().await.map_err(|error| self.refused("written", name, &error))?;
        Ok(())
    }

    /// A staged file, in parts if it is large.
    pub async fn upload(&self, name: &str, staged: &Path) -> Result<()> {
        let unreadable = || format!("{} cannot be read", staged.display());
        let mut file = tokio::fs::File::open(staged).await.with_context(unreadable)?;
        let first = piece(&mut file).await.with_context(unreadable)?;
        if first.len() < PART {
            let digest = Digest::of(&first);
            return self.put(name, first, digest).await;
        }
        let key = self.key(name);
        let begin = self.client.create_multipart_upload().bucket(&self.bucket).key(&key);
        let begun =
            begin.content_type(exports::media_type(name)).checksum_algorithm(ChecksumAlgorithm::Sha256).send().await;
        let begun = begun.map_err(|error| self.refused("written", name, &error))?;
        let id = begun.upload_id().context("the store began no upload in parts")?;
        let sent = self.parts(name, id, first, &mut file).await;
        if sent.is_err() {
            // what cannot be taken back now is removed by the store's own clean-up of unfinished uploads
            let _ = self.client.abort_multipart_upload().bucket(&self.bucket).key(&key).upload_id(id).send().await;
        }
        sent
    }

    async fn parts(&self, name: &str, id: &str, first: Bytes, file: &mut tokio::fs::File) -> Result<()> {
        let key = self.key(name);
        let mut parts = Vec::new();
        let mut bytes = first;
        while !bytes.is_empty() {
            let number = i32::try_from(parts.len() + 1)?;
            let checksum = STANDARD.encode(Digest::of(&bytes).as_bytes());
            let part = self.client.upload_part().bucket(&self.bucket).key(&key).upload_id(id).part_number(number);
            let sent = part.checksum_sha256(&checksum).body(ByteStream::from(bytes)).send().await;
            let sent = sent.map_err(|error| self.refused("written", name, &error))?;
            let part = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
            parts.push(part.set_e_tag(sent.e_tag().map(str::to_owned)).build());
            bytes = piece(file).await?;
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let ended = self.client.complete_multipart_upload().bucket(&self.bucket).key(&key).upload_id(id);
        ended.multipart_upload(parts).send().await.map_err(|error| self.refused("written", name, &error))?;
        Ok(())
    }

    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.client.get_object().bucket(&self.bucket).key(self.key(name)).send().await {
            Ok(object) => {
                let bytes = object.body.collect().await.map_err(|error| self.refused("read", name, &error))?;
                Ok(Some(bytes.to_vec()))
            }
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => Ok(None),
            Err(error) => Err(self.refused("read", name, &error)),
        }
    }
}

/// The next part of a file; empty at its end.
async fn piece(file: &mut tokio::fs::File) -> std::io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(PART);
    file.take(PART as u64).read_to_end(&mut bytes).await?;
    Ok(bytes.into())
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        match self.prefix.strip_suffix('/') {
            Some(prefix) => write!(f, "/{prefix}"),
            None => Ok(()),
        }
    }
}
