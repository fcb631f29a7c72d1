//! `POST /v1/uploads`: addresses under which blobs go straight into the bucket, past this process. Each is good for one digest and a
//! quarter of an hour; the store compares the bytes with the digest, which is signed into the address, and keeps what is there already.
//!
//! A store that takes bytes whose SHA-256 is another than was said must not be written to by others: it is tried once a process, and
//! such a store gets no addresses.

use super::extract::Json;
use super::problem::ApiError;
use crate::app::App;
use axum::extract::State;
use chrono::Utc;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::time::Duration;
use wire::http::v1::{NewUpload, NewUploads, Problem, Upload, Uploads};

/// How long an address holds.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// Uploads of one request at most.
const MOST: usize = 1_000;
/// Largest object that S3 takes in one request: 5 GiB.
const LARGEST: u64 = 5 << 30;
/// Questions to the bucket at once.
const ASKED_AT_ONCE: usize = 32;

/// Where to send each, or that it is there.
///
/// Send the bytes with `PUT` to `url` with exactly these headers. Afterwards they are blobs as if they had come by `PUT /v1/blobs/{sha256}`.
#[utoipa::path(
    post,
    path = "/v1/uploads",
    operation_id = "create_uploads",
    tag = "blobs",
    request_body = NewUploads,
    responses(
        (status = 200, description = "In the order of the request.", body = Uploads),
        (status = 409, description = "The bucket does not compare checksums, so nobody else may write to it: use `PUT /v1/blobs/{sha256}`.", body = Problem, content_type = "application/problem+json")
    ),
)]
pub async fn handle(State(app): State<App>, Json(asked): Json<NewUploads>) -> Result<axum::Json<Uploads>, ApiError> {
    let count = asked.uploads.len();
    if !(1..=MOST).contains(&count) {
        return Err(ApiError::InvalidRequest(format!("uploads has {count} entries; give 1 to {MOST} a request")));
    }
    let most = LARGEST.min(app.config.limits.blob_bytes as u64);
    if let Some(upload) = asked.uploads.iter().find(|upload| upload.bytes > most) {
        let (sha256, bytes) = (upload.sha256, upload.bytes);
        return Err(ApiError::InvalidRequest(format!("{sha256} has {bytes} bytes; at most {most} are accepted")));
    }
    if !app.uploads.are_safe(&app.artifacts).await? {
        return Err(ApiError::NotNow("the bucket does not compare checksums; use PUT /v1/blobs/{sha256}".to_owned()));
    }
    let each = stream::iter(asked.uploads).map(|upload| address(&app, upload));
    let uploads = each.buffered(ASKED_AT_ONCE).try_collect().await?;
    Ok(axum::Json(Uploads { uploads }))
}

async fn address(app: &App, NewUpload { sha256, bytes }: NewUpload) -> Result<Upload, ApiError> {
    if app.artifacts.exists(sha256).await? {
        return Ok(Upload { sha256, there: true, url: None, headers: Default::default(), expires_at: None });
    }
    let expires_at = Utc::now() + GOOD_FOR;
    let signed = app.uploads.address(sha256, bytes, GOOD_FOR).await?;
    Ok(Upload { sha256, there: false, url: Some(signed.url), headers: signed.headers, expires_at: Some(expires_at) })
}
