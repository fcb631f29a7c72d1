//! What one request may cost: the table `[limits]` of the settings file.

use crate::duration;
use serde::Deserialize;
use std::time::Duration;

/// What one request may cost.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest JSON body in bytes: 5,000 sources with long URIs and labels fit into 8 MiB.
    pub json_bytes: usize,
    /// Largest uploaded object in bytes. It passes through a temporary file; the networks of a large pack are the largest thing
    /// anyone uploads.
    pub blob_bytes: usize,
    /// Largest image in bytes that an import from a bucket takes; these are read into memory.
    pub image_bytes: usize,
    /// A request that takes longer is answered with a problem.
    #[serde(deserialize_with = "duration::deserialize")]
    pub request_timeout: Duration,
    /// Whoever sends nothing of a body for this long is given up.
    #[serde(deserialize_with = "duration::deserialize")]
    pub body_idle: Duration,
    /// The head of a request, or the next request of a connection, must be there within this time.
    #[serde(deserialize_with = "duration::deserialize")]
    pub header_timeout: Duration,
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// Requests in work at once; more wait a moment and are then refused. Strangers have an eighth as many places of their own.
    pub concurrent_requests: usize,
    /// Requests that one key may send in a second, for any length of time: more than an upload of small images at full speed.
    pub requests_per_second: u32,
    /// Requests that it may send at once after a pause.
    pub request_burst: u32,
    /// Wrong keys from one address in a minute before it is told to wait. Nobody guesses a key; this keeps the log readable.
    pub wrong_keys_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes: 8 << 20,
            blob_bytes: 8 << 30,
            image_bytes: 512 << 20,
            request_timeout: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            connections: 4_096,
            concurrent_requests: 512,
            requests_per_second: 500,
            request_burst: 2_000,
            wrong_keys_per_minute: 30,
        }
    }
}
