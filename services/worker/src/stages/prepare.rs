//! From a user's file to the pixels the networks see: decoded, upright, opaque, 8-bit RGB, square, at the generator's size.
//!
//! A pure function of the bytes, so that the same source always gives the same raster and its digest can stand in the record.
//! Sizes are read from the header and checked before a pixel is decoded. Whatever was done to the image is listed by name.

mod align;
mod decode;
mod face;
mod flatten;
mod mask;
mod sniff;
mod square;
#[cfg(test)]
mod tests;

pub use face::{Picture, prepare_framed_mask};
pub use mask::prepare_mask;

use credentials::credential::credential_of_source;
use domain::record::{FaceFacts, media_type};
use domain::{Digest, Reason};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a source image may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The least height and width, px. Below it there is nothing to invert.
    pub min_side: u32,
    /// The greatest height and width, px.
    pub max_side: u32,
    /// The greatest number of pixels.
    pub max_pixels: u64,
    /// The most memory a decoder may take, bytes.
    pub max_decode_bytes: u64,
}

impl Default for Limits {
    /// Cameras of today pass (100 megapixels do at 8 bits a channel); decompression bombs do not.
    fn default() -> Self {
        Self { min_side: 16, max_side: 20_000, max_pixels: 120_000_000, max_decode_bytes: 512 << 20 }
    }
}

/// A source, ready for inversion.
#[derive(Clone, PartialEq, Debug)]
pub struct Prepared {
    /// RGB8, row by row from the top left: `resolution * resolution * 3` bytes.
    pub raster: Vec<u8>,
    /// Height and width of the raster, px.
    pub resolution: u32,
    /// SHA-256 of `raster`.
    pub raster_sha256: Digest,
    /// Width and height in the file's header, px, before any rotation.
    pub original_size: [u32; 2],
    /// The file's format: `png`, `jpeg`, `webp`, `gif`, `bmp` or `tiff`.
    pub format: &'static str,
    /// What was done to the image, in order; see [`conversion`].
    pub conversions: Vec<String>,
    /// The face that it was framed by, where it was.
    pub face: Option<FaceFacts>,
    /// What the file says of where it comes from.
    pub origin: Origin,
}

/// What a source's file says of where it comes from: an output that it is made into carries it on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// It carries a Content Credential.
    pub credentialed: bool,
    /// The record that its credential names, where it is an output of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
}

impl Prepared {
    /// Its raster at another size: RGB8, `side * side * 3` bytes.
    ///
    /// # Errors
    /// When it cannot be resized.
    pub fn at(self, side: u32) -> Result<Vec<u8>, Reject> {
        let image = RgbImage::from_raw(self.resolution, self.resolution, self.raster);
        let image = image.ok_or_else(|| Reject::new(Reason::Internal, "a prepared raster is not of its own size"))?;
        square::to_square(image, side, &mut Vec::new())
    }
}

/// A source that cannot be prepared: a fault of the item, never of the machine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Reject {
    /// The stable code.
    pub reason: Reason,
    /// One sentence for the user, naming what was found and what is allowed.
    pub message: String,
}

impl Reject {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Names of conversions, as they stand in provenance records: never renamed, only added to. A rotation is
/// `exif-orientation-N` with N from 2 to 8, as in the file.
pub mod conversion {
    /// Four inks to RGB by the plain formula, without colour management.
    pub const CMYK_TO_RGB: &str = "cmyk-to-rgb";
    /// Palette indices to their colours.
    pub const PALETTE_TO_RGB: &str = "palette-to-rgb";
    /// One grey channel to three equal ones.
    pub const GREY_TO_RGB: &str = "grey-to-rgb";
    /// 16 bits a channel rounded to 8.
    pub const SIXTEEN_BIT_TO_EIGHT: &str = "16-bit-to-8-bit";
    /// Floats in [0, 1], clamped, to 8 bits.
    pub const FLOAT_TO_EIGHT_BIT: &str = "float-to-8-bit";
    /// Transparency blended over white.
    pub const ALPHA_OVER_WHITE: &str = "alpha-over-white";
    /// An alpha channel that was opaque everywhere.
    pub const OPAQUE_ALPHA_DROPPED: &str = "opaque-alpha-dropped";
    /// The file's colour profile was not applied: its values are taken as sRGB.
    pub const ICC_PROFILE_IGNORED: &str = "icc-profile-ignored";
    /// The first of several pages of a TIFF.
    pub const FIRST_PAGE: &str = "first-page";
    /// The largest centred square.
    pub const CENTRE_CROP: &str = "centre-crop";
    /// Turned, cut and scaled to the face, as FFHQ's images are (see `align`).
    pub const FFHQ_FRAME: &str = "ffhq-frame";
    /// Beyond the image, its mirror image, blurred and faded: part of FFHQ's frame.
    pub const FFHQ_PADDED: &str = "ffhq-padded";
    /// Bicubic (Catmull-Rom, a = -0.5) with antialiasing, as Pillow's `BICUBIC`.
    pub const RESIZE_CATMULL_ROM: &str = "resize-catmull-rom";
}

/// An image of which no part is chosen yet: decoded, upright, opaque, 8-bit RGB.
#[derive(Clone, Debug)]
pub struct Upright {
    rgb: RgbImage,
    original_size: [u32; 2],
    format: &'static str,
    conversions: Vec<String>,
    origin: Origin,
}

/// Decodes `bytes`.
///
/// # Errors
/// The image's own fault, with its reason.
pub fn upright(bytes: &[u8], limits: &Limits) -> Result<Upright, Reject> {
    // The decoders are other people's code on hostile bytes. Should one panic, the item is at fault and its batch goes on; there is
    // no state behind this call that could be left half-changed.
    catch_unwind(AssertUnwindSafe(|| run(bytes, limits))).unwrap_or_else(|_| {
        Err(Reject::new(Reason::Corrupt, "the image is damaged in a way that made its decoder fail"))
    })
}

fn run(bytes: &[u8], limits: &Limits) -> Result<Upright, Reject> {
    let sniffed = sniff::sniff(bytes)?;
    let decoded = decode::decode(bytes, sniffed, limits)?;
    let mut conversions = decoded.conversions;
    let mut image = decoded.image;
    if decoded.orientation != image::metadata::Orientation::NoTransforms {
        image.apply_orientation(decoded.orientation);
        conversions.push(format!("exif-orientation-{}", decoded.orientation.to_exif()));
    }
    let rgb = flatten::to_rgb8(image, &mut conversions);
    let (credentialed, parent) = credential_of_source(bytes, &media_type(sniffed.name()));
    let origin = Origin { credentialed, parent };
    Ok(Upright { rgb, original_size: decoded.size, format: sniffed.name(), conversions, origin })
}

impl Upright {
    /// Its largest centred square, at `resolution`.
    ///
    /// # Errors
    /// When it cannot be resized.
    pub fn square(self, resolution: u32) -> Result<Prepared, Reject> {
        let Self { rgb, original_size, format, mut conversions, origin } = self;
        let raster = square::to_square(rgb, resolution, &mut conversions)?;
        Ok(finished(raster, resolution, original_size, format, conversions, None, origin))
    }
}

fn finished(
    raster: Vec<u8>,
    resolution: u32,
    original_size: [u32; 2],
    format: &'static str,
    conversions: Vec<String>,
    face: Option<FaceFacts>,
    origin: Origin,
) -> Prepared {
    let raster_sha256 = Digest::of(&raster);
    Prepared { raster, resolution, raster_sha256, original_size, format, conversions, face, origin }
}
