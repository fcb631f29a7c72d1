//! `GET /ui/thumbs/{sha256}`: an image of the bucket at 256 pixels at most, made on the fly and kept within bounds, so that a gallery
//! loads kilobytes and not originals.
//!
//! What users upload may be anything: an image is decoded only if its header says that it fits into the limits, by few at a time,
//! away from the threads that answer requests. Whatever cannot be decoded is shown as a drawing that says so.

use crate::app::App;
use crate::http::extract::parse;
use crate::http::problem::ApiError;
use artifacts::ArtifactClass;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::Digest;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageDecoder, ImageReader};
use moka::future::Cache;
use std::io::Cursor;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Longest side in pixels.
const SIDE: u32 = 256;
/// Bytes of a file that is looked at, at most.
const LARGEST_FILE: u64 = 64 << 20;
/// Pixels on a side, at most.
const LARGEST_SIDE: u32 = 16_384;
/// Bytes that decoding may take.
const DECODED: u64 = 256 << 20;
/// Images that are decoded at once.
const AT_ONCE: usize = 2;
/// Bytes of thumbnails that are kept.
const CACHE: u64 = 64 << 20;
/// A photograph without loss is larger than this, and is then written as JPEG.
const LOSSLESS: usize = 24 << 10;

/// A thumbnail.
#[derive(Clone)]
enum Thumb {
    Made {
        kind: &'static str,
        bytes: Bytes,
    },
    /// Not an image that can be shown.
    Unreadable,
}

/// Thumbnails that are kept, and who makes them.
pub struct Thumbs {
    kept: Cache<Digest, Thumb>,
    makers: Arc<Semaphore>,
}

impl Default for Thumbs {
    fn default() -> Self {
        let weigh = |_: &Digest, thumb: &Thumb| match thumb {
            Thumb::Made { bytes, .. } => u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(128),
            Thumb::Unreadable => 128,
        };
        let kept = Cache::builder().max_capacity(CACHE).weigher(weigh).build();
        Self { kept, makers: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// The thumbnail of these bytes; none if they are no image, or one beyond the limits.
fn shrink(file: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST_SIDE), Some(LARGEST_SIDE));
    limits.max_alloc = Some(DECODED);
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    if decoder.total_bytes() > DECODED {
        return None;
    }
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).ok()?;
    if image.width().max(image.height()) > SIDE {
        image = image.thumbnail(SIDE, SIDE);
    }
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let mut bytes = Vec::new();
    let alpha = image.color().has_alpha();
    let image = if alpha { DynamicImage::from(image.into_rgba8()) } else { DynamicImage::from(image.into_rgb8()) };
    image.write_with_encoder(WebPEncoder::new_lossless(&mut bytes)).ok()?;
    if bytes.len() <= LOSSLESS || alpha {
        return Some(("image/webp", bytes));
    }
    bytes.clear();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 85)).ok()?;
    Some(("image/jpeg", bytes))
}

impl Thumbs {
    async fn get(&self, app: &App, digest: Digest) -> Result<Thumb, Arc<ApiError>> {
        // of many who ask at once, one makes it
        self.kept.try_get_with(digest, self.make(app, digest)).await
    }

    async fn make(&self, app: &App, digest: Digest) -> Result<Thumb, ApiError> {
        let missing = || ApiError::NotFound(format!("there is no object {digest}"));
        let size = app.artifacts.size(digest).await?.ok_or_else(missing)?;
        if size > LARGEST_FILE {
            return Ok(Thumb::Unreadable);
        }
        // before the bytes: what waits for its turn holds none
        let Ok(turn) = Arc::clone(&self.makers).acquire_owned().await else { return Ok(Thumb::Unreadable) };
        let file = match app.artifacts.get(digest).await {
            Err(error) if error.class() == ArtifactClass::Missing => return Err(missing()),
            other => other?,
        };
        let made = tokio::task::spawn_blocking(move || {
            let made = shrink(&file);
            drop(turn);
            made
        });
        // a decoder that panics has met a damaged file
        Ok(match made.await.ok().flatten() {
            Some((kind, bytes)) => Thumb::Made { kind, bytes: bytes.into() },
            None => Thumb::Unreadable,
        })
    }
}

const UNREADABLE: &str = include_str!("../../assets/unreadable.svg");

/// The thumbnail.
pub async fn handle(
    State(app): State<App>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let digest: Digest = parse(&sha256)?;
    let tag = format!("\"{SIDE}-{digest}\"");
    if headers.get(header::IF_NONE_MATCH).is_some_and(|given| given.as_bytes() == tag.as_bytes()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let thumb = app.thumbs.get(&app, digest).await.map_err(|error| match &*error {
        ApiError::NotFound(text) => ApiError::NotFound(text.clone()),
        _ => ApiError::Unavailable("the bucket does not answer; try again"),
    })?;
    let (kind, bytes) = match thumb {
        Thumb::Made { kind, bytes } => (kind, bytes),
        Thumb::Unreadable => ("image/svg+xml", Bytes::from_static(UNREADABLE.as_bytes())),
    };
    let keep = (header::CACHE_CONTROL, "private, max-age=31536000, immutable".to_owned());
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), keep, (header::ETAG, tag)], bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn png(image: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn a_large_image_becomes_small_and_a_small_one_stays() {
        let noise =
            RgbImage::from_fn(1024, 512, |x, y| image::Rgb([(x * 7 + y * 13) as u8, (x * y) as u8, (x ^ y) as u8]));
        let (kind, bytes) = shrink(&png(&noise.into())).unwrap();
        let small = image::load_from_memory(&bytes).unwrap();
        assert_eq!((kind, small.width(), small.height()), ("image/jpeg", 256, 128));
        let (kind, bytes) = shrink(&png(&RgbImage::new(64, 64).into())).unwrap();
        let same = image::load_from_memory(&bytes).unwrap();
        assert_eq!((kind, same.width(), same.height()), ("image/webp", 64, 64));
    }

    #[test]
    fn bombs_and_damaged_files_are_no_images() {
        // a header that claims 60,000 pixels square
        let mut bomb = png(&RgbImage::new(1, 1).into());
        bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        assert!(shrink(&bomb).is_none());
        let whole = png(&RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 0])).into());
        assert!(shrink(&whole[..whole.len() / 2]).is_none());
        assert!(shrink(b"<svg onload='alert(1)'/>").is_none());
        assert!(shrink(&[]).is_none());
    }
}
