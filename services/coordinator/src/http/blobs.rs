//! `PUT`, `GET`, `HEAD /v1/blobs/{sha256}`: bytes by their digest. Uploading twice is harmless; what is stored never changes. They belong
//! to no project: whoever has a key and knows a digest may read what it names (why, is in [`crate::access`]).

use super::etag;
use super::extract::{broken, parse};
use super::problem::ApiError;
use crate::app::App;
use artifacts::{ArtifactClass, ArtifactError, PIECE, Upload};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Digest;
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Stores the body if it has the digest in the address. It goes on to the bucket while it arrives: no file and no more than one piece
/// of it is held here.
#[utoipa::path(
    put,
    path = "/v1/blobs/{sha256}",
    operation_id = "put_blob",
    tag = "blobs",
    params(("sha256" = Digest, Path, description = "SHA-256 of the bytes.")),
    request_body(content = Bytes, content_type = "application/octet-stream", description = "The bytes."),
    responses(
        (status = 200, description = "They were there."),
        (status = 201, description = "They are stored.")
    ),
)]
pub async fn put(State(app): State<App>, Path(sha256): Path<String>, request: Request) -> Result<StatusCode, ApiError> {
    let expected: Digest = parse(&sha256)?;
    let limit = app.config.limits.blob_bytes as u64;
    let mut sink = if app.artifacts.exists(expected).await? {
        Sink::Known(Sha256::new())
    } else {
        Sink::New(Box::new(app.artifacts.upload(expected)))
    };
    let mut stream = request.into_body().into_data_stream();
    let mut bytes = 0;
    loop {
        // The whole may take long; a sender that stalls may not.
        let next = tokio::time::timeout(app.config.limits.request_timeout, stream.next()).await;
        let Some(chunk) = next.map_err(|_| ApiError::Timeout)? else { break };
        let chunk = chunk.map_err(|error| broken(&error))?;
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(ApiError::TooLarge {
                limit: app.config.limits.blob_bytes,
                advice: "larger objects are imported from a bucket",
            });
        }
        match &mut sink {
            Sink::Known(hash) => hash.update(&chunk),
            Sink::New(upload) => upload.push(&chunk).await?,
        }
    }
    let mismatch = |found| ApiError::DigestMismatch { expected, found };
    match sink {
        Sink::Known(hash) => {
            let found = Digest::from_bytes(hash.finalize().into());
            if found == expected { Ok(StatusCode::OK) } else { Err(mismatch(found)) }
        }
        Sink::New(upload) => match upload.finish().await {
            Ok(()) => Ok(StatusCode::CREATED),
            Err(ArtifactError::Mismatch { found, .. }) => Err(mismatch(found)),
            Err(error) => Err(error.into()),
        },
    }
}

/// Bytes as the document has them: JSON has none, so generators of clients look for this format.
struct Bytes;

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        let bytes =
            ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
        RefOr::T(bytes.build().into())
    }
}

impl ToSchema for Bytes {}

/// Where the bytes of a body go.
enum Sink {
    /// The object is there: they are only held against their name.
    Known(Sha256),
    /// Into the bucket.
    New(Box<Upload>),
}

/// The bytes, with the type that their first bytes tell. Those that fit into one piece are verified; larger ones are passed on piece
/// by piece, and whoever reads them holds them against their name.
#[utoipa::path(
    get,
    path = "/v1/blobs/{sha256}",
    operation_id = "get_blob",
    tag = "blobs",
    params(("sha256" = Digest, Path, description = "SHA-256 of the bytes.")),
    responses((status = 200, description = "The bytes, with the media type that their first ones tell.", content((Bytes = "application/octet-stream"), (Bytes = "image/png"), (Bytes = "image/jpeg"), (Bytes = "image/webp"), (String = "text/plain"), (Object = "application/json")))),
)]
pub async fn get(State(app): State<App>, Path(sha256): Path<String>, headers: HeaderMap) -> Result<Response, ApiError> {
    let digest: Digest = parse(&sha256)?;
    let tag = format!("\"{digest}\"");
    if etag::unchanged(&headers, &tag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let size = app.artifacts.size(digest).await?.ok_or_else(|| missing(digest))?;
    // a name never changes its content, so a browser need not ask again; caches between are not to answer for who may ask
    let cache = (header::CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned());
    // what a user uploaded may be anything: it is shown as an image or as plain text, and never run
    let policy = (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned());
    let headers = |kind: &str| [(header::CONTENT_TYPE, kind.to_owned()), cache, policy, (header::ETAG, tag)];
    if size > PIECE {
        let artifacts = app.artifacts.clone();
        let pieces = futures_util::stream::iter((0..size).step_by(PIECE as usize));
        let body = pieces.then(move |from| {
            let artifacts = artifacts.clone();
            async move { artifacts.range(digest, from, PIECE.min(size - from)).await }
        });
        let length = (header::CONTENT_LENGTH, size.to_string());
        return Ok((headers("application/octet-stream"), [length], Body::from_stream(body)).into_response());
    }
    let bytes = match app.artifacts.get(digest).await {
        Err(error) if error.class() == ArtifactClass::Missing => return Err(missing(digest)),
        other => other?,
    };
    Ok((headers(content_type(&bytes)), bytes).into_response())
}

/// Whether the bytes are there, and how many.
#[utoipa::path(
    head,
    path = "/v1/blobs/{sha256}",
    operation_id = "head_blob",
    tag = "blobs",
    params(("sha256" = Digest, Path, description = "SHA-256 of the bytes.")),
    responses((status = 200, description = "They are there; `content-length` says how many.")),
)]
pub async fn head(State(app): State<App>, Path(sha256): Path<String>) -> Result<Response, ApiError> {
    let digest: Digest = parse(&sha256)?;
    let size = app.artifacts.size(digest).await?.ok_or_else(|| missing(digest))?;
    Ok([(header::CONTENT_LENGTH, size.to_string())].into_response())
}

fn missing(digest: Digest) -> ApiError {
    ApiError::NotFound(format!("there is no object {digest}"))
}

/// The media type by the first bytes; only types that a browser shows without running anything.
fn content_type(bytes: &[u8]) -> &'static str {
    let image = exports::media_type(exports::extension(bytes));
    match bytes {
        _ if image.starts_with("image/") => image,
        // safetensors: eight bytes of header length, then the header, which is JSON
        [_, _, _, _, _, _, _, _, b'{', ..] if bytes[4..8] == [0; 4] => "application/octet-stream",
        [b'{', ..] if std::str::from_utf8(bytes).is_ok() => "application/json",
        _ if bytes.len() <= 1 << 20 && std::str::from_utf8(bytes).is_ok() => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::content_type;

    #[test]
    fn first_bytes_tell_the_type() {
        assert_eq!(content_type(b"\x89PNG\r\n\x1a\n"), "image/png");
        assert_eq!(content_type(b"RIFF\x10\0\0\0WEBPVP8 "), "image/webp");
        assert_eq!(content_type(b"{\"a\":1}"), "application/json");
        assert_eq!(content_type(b"<script>alert(1)</script>"), "text/plain; charset=utf-8");
        assert_eq!(content_type(b"\x20\0\0\0\0\0\0\0{\"w\":1}"), "application/octet-stream");
        assert_eq!(content_type(&[0xfe, 0x01]), "application/octet-stream");
    }
}
