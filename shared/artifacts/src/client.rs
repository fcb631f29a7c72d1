//! The S3 client: explicit settings only, no look into the machine's AWS profile.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use std::fmt;
use std::time::Duration;

/// Which bucket, and how to get at it.
#[derive(Clone)]
pub struct S3Config {
    /// `http://host:port` of a store that is not AWS; none for AWS itself.
    pub endpoint: Option<String>,
    /// The region requests are signed for.
    pub region: String,
    /// The bucket of artifacts and results.
    pub bucket: String,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
    /// Bucket in the path instead of in the host name: what most stores other than AWS want.
    pub path_style: bool,
    /// Limit of one attempt of a request, upload of the body included.
    pub attempt_timeout: Duration,
    /// Limit of a request with all its attempts, and of reading a body.
    pub operation_timeout: Duration,
}

impl S3Config {
    /// Settings with the default limits: 60 s an attempt, 180 s a request.
    pub fn new(
        endpoint: Option<String>,
        region: impl Into<String>,
        bucket: impl Into<String>,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
        path_style: bool,
    ) -> Self {
        Self {
            endpoint,
            region: region.into(),
            bucket: bucket.into(),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            path_style,
            attempt_timeout: Duration::from_secs(60),
            operation_timeout: Duration::from_secs(180),
        }
    }

    pub(crate) fn client(&self) -> Client {
        // Shorter than the keep-alive of common servers, so that a request never goes out on a connection being closed.
        let http = aws_smithy_http_client::Builder::new()
            .pool_idle_timeout(Duration::from_secs(15))
            .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(self.attempt_timeout)
            .operation_timeout(self.operation_timeout)
            .build();
        let stalled = StalledStreamProtectionConfig::enabled().grace_period(Duration::from_secs(20)).build();
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(Credentials::new(&self.access_key, &self.secret_key, None, None, "settings"))
            .http_client(http)
            .force_path_style(self.path_style)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts)
            .stalled_stream_protection(stalled)
            // Our own SHA-256 goes with every upload and is checked on every download; a second checksum only breaks stores
            // that do not know it.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(self.endpoint.clone());
        Client::from_conf(config.build())
    }
}

impl fmt::Debug for S3Config {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("path_style", &self.path_style)
            .finish_non_exhaustive()
    }
}
