//! The bucket, and how others reach it.

/// Where the bucket is and how to speak to it.
#[derive(Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Endpoint; AWS when absent.
    pub endpoint: Option<String>,
    /// The same as users reach it, where that is another; for addresses that are given to them.
    pub public_endpoint: Option<String>,
    /// Region.
    pub region: String,
    /// Bucket in the path.
    pub path_style: bool,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
}
