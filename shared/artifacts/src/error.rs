//! What can go wrong with the bucket, and what that means for a task.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use domain::{Digest, Reason};

/// An object could not be read or written. Each names the object.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is no such object.
    #[error("{object} is not in the bucket")]
    Missing {
        /// Key or address.
        object: String,
    },
    /// The store could not be reached, did not answer in time, or answered with a server error.
    #[error("the object store failed on {object}: {detail}")]
    Unavailable {
        /// Key or address.
        object: String,
        /// What it said.
        detail: String,
    },
    /// The store refuses: wrong keys, no permission, or no such bucket.
    #[error("the object store refuses {object}: {detail}; check the CFX_S3_* settings")]
    Denied {
        /// Key or address.
        object: String,
        /// What it said.
        detail: String,
    },
    /// The bytes do not have the digest they are named by: the object is damaged.
    #[error("the object named {named} has digest {found}: it is damaged; delete it and run the work again")]
    Mismatch {
        /// The name.
        named: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// A result pointer that is not what this version writes.
    #[error("{object} cannot be read as a result")]
    Unreadable {
        /// The key.
        object: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A value that cannot be written as JSON.
    #[error("{object} cannot be written as JSON")]
    Unwritable {
        /// The key.
        object: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A file on this machine that is sent or fetched.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not an S3 address.
    #[error(transparent)]
    Uri(#[from] crate::uri::UriError),
}

/// What a caller does about an [`ArtifactError`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArtifactClass {
    /// It is not there.
    Missing,
    /// Try again later.
    Unavailable,
    /// Somebody must change a setting.
    Denied,
    /// What is there is not what it should be.
    Mismatch,
}

impl ArtifactError {
    /// What to do about it.
    pub const fn class(&self) -> ArtifactClass {
        match self {
            Self::Missing { .. } => ArtifactClass::Missing,
            // A full disk is the surroundings' fault, as a store that is down.
            Self::Unavailable { .. } | Self::File { .. } => ArtifactClass::Unavailable,
            Self::Denied { .. } => ArtifactClass::Denied,
            Self::Mismatch { .. } | Self::Unreadable { .. } | Self::Unwritable { .. } | Self::Uri(_) => {
                ArtifactClass::Mismatch
            }
        }
    }

    /// Whether a disk of this machine has no room left, or the user no quota.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::File { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }

    /// The reason code of a task that fails for this. A refusal counts as the surroundings failing: a setting is wrong, not the
    /// item.
    pub const fn reason(&self) -> Reason {
        match self.class() {
            ArtifactClass::Missing => Reason::MissingSource,
            ArtifactClass::Unavailable | ArtifactClass::Denied => Reason::StorageUnavailable,
            ArtifactClass::Mismatch => Reason::DigestMismatch,
        }
    }

    pub(crate) fn of_call<E>(object: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let object = object.to_owned();
        let status = error.raw_response().map(|r| r.status().as_u16());
        let code = error.code().unwrap_or_default();
        let detail = detail(error);
        match (code, status) {
            ("NoSuchBucket", _) => Self::Denied { object, detail },
            ("NoSuchKey" | "NotFound", _) | (_, Some(404)) => Self::Missing { object },
            (_, Some(401 | 403)) => Self::Denied { object, detail },
            _ => Self::Unavailable { object, detail },
        }
    }

    pub(crate) fn unavailable(object: &str, detail: impl Into<String>) -> Self {
        Self::Unavailable { object: object.to_owned(), detail: detail.into() }
    }
}

/// Code and message of a service error, or the chain of causes of any other (a bare `SdkError` says only "dispatch failure").
fn detail<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let Some(code) = error.code() {
        return format!("{code}: {}", error.message().unwrap_or("no message"));
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
