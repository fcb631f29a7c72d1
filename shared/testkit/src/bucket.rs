//! An S3 bucket for one test.

use anyhow::Result;
use tempfile::TempDir;

use crate::s3_server::S3Server;

/// An S3 server in this process over a temporary folder, with one empty bucket. It stops and its objects go when this is dropped.
///
/// The server runs on the runtime that made it: a test that blocks its only thread also blocks its bucket.
#[derive(Debug)]
pub struct TestBucket {
    server: S3Server,
    folder: TempDir,
}

impl TestBucket {
    /// The region that requests are signed for; any would do.
    pub const REGION: &str = "us-east-1";
    /// The bucket's name.
    pub const NAME: &str = "test";
    /// Its access key.
    pub const ACCESS_KEY: &str = "test-access-key";
    /// Its secret key.
    pub const SECRET_KEY: &str = "test-secret-key";

    /// Starts a server with an empty bucket on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no temporary folder can be made or no port is free.
    pub async fn create() -> Result<Self> {
        let folder = TempDir::with_prefix("cfx-bucket-")?;
        let server = S3Server::start(
            folder.path(),
            "127.0.0.1",
            0,
            Self::ACCESS_KEY,
            Self::SECRET_KEY,
            &[Self::NAME.to_owned()],
        )
        .await?;
        Ok(Self { server, folder })
    }

    /// `http://127.0.0.1:port`, to be used with path-style requests.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// `127.0.0.1:port`, to put a [`crate::FaultProxy`] in front.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    /// The file that holds the object `key`, for tests that damage or remove it behind the server's back.
    #[must_use]
    pub fn object_path(&self, key: &str) -> std::path::PathBuf {
        self.folder.path().join(Self::NAME).join(key)
    }

    /// `CFX_S3_*` for a child process that is to use this bucket.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CFX_S3_ENDPOINT", self.endpoint()),
            ("CFX_S3_REGION", Self::REGION.to_owned()),
            ("CFX_S3_BUCKET", Self::NAME.to_owned()),
            ("CFX_S3_ACCESS_KEY", Self::ACCESS_KEY.to_owned()),
            ("CFX_S3_SECRET_KEY", Self::SECRET_KEY.to_owned()),
            ("CFX_S3_PATH_STYLE", "true".to_owned()),
        ]
    }
}
