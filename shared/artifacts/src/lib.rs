//! The only crate with aws-sdk-s3: immutable objects named by their SHA-256, and the pointers to finished results.
//!
//! **Owns** the layout of the bucket: `cas/sha256/<aa>/<bb>/<digest>` for every artifact and `results/<stage_key>[/<job>-<no>].json` for
//! the pointer to a finished result. Every upload carries our own `ChecksumSHA256`, and every download of an artifact is
//! hashed before it is handed out: stores differ in what they verify, so nothing is taken on trust.
//!
//! **Never** relies on conditional writes (some stores ignore them silently): a key of `cas/` has one possible content, so two
//! writers write the same bytes, and a result pointer is written after everything it points at. Never deletes anything but its own
//! probe of a store that others are to write to ([`Presigner`]).
//!
//! **After a crash** an object is whole or absent as far as a reader can tell (a damaged one fails its hash and is a
//! [`ArtifactError::Mismatch`]); objects that nothing points at are garbage, and a repeat of the work writes them again.

mod client;
mod error;
mod files;
mod presign;
mod store;
mod upload;
mod uri;

pub use client::S3Config;
pub use error::{ArtifactClass, ArtifactError};
pub use files::PIECE;
pub use presign::{Presigner, SignedUpload};
pub use store::{Artifacts, Listed, Page};
pub use upload::Upload;
pub use uri::{S3Uri, UriError};
