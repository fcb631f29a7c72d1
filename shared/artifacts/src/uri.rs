//! `s3://bucket/key`, as users name images that lie in a bucket already.

use std::{fmt, str::FromStr};

/// A bucket and a key or prefix in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Uri {
    /// The bucket.
    pub bucket: String,
    /// The key; empty for the whole bucket.
    pub key: String,
}

/// A text that is not an S3 address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not an S3 address; write s3://bucket/key")]
pub struct UriError(pub String);

impl FromStr for S3Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| UriError(text.to_owned()))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        // The bucket may become part of a host name: only what S3 itself allows there, and no address of a machine.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let named = (1..=63).contains(&bucket.len()) && bucket.bytes().all(plain) && !bucket.contains("..");
        if !named || bucket.parse::<std::net::IpAddr>().is_ok() {
            return Err(UriError(text.to_owned()));
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_what_it_writes_and_nothing_else() {
        for text in ["s3://faces/2024/a b.png", "s3://faces/"] {
            assert_eq!(text.parse::<S3Uri>().unwrap().to_string(), text);
        }
        assert_eq!("s3://faces".parse::<S3Uri>().unwrap().key, "");
        let foreign = [
            "s3://a@evil/x",
            "s3://evil#/x",
            "s3://evil:80/x",
            "s3://a..b/x",
            "s3://169.254.169.254/x",
            "s3://[::1]/x",
        ];
        for text in ["s3:///a.png", "https://faces/a.png", "faces/a.png"].into_iter().chain(foreign) {
            assert_eq!(text.parse::<S3Uri>(), Err(UriError(text.to_owned())));
        }
    }
}
