//! The digest of what a picture shows, whatever file it is stored in.

use crate::container::{Container, EmbedError};
use domain::Digest;
use std::io::Cursor;

/// An image whose pixels cannot be read as 8-bit RGB.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    /// No image that an output can be.
    #[error(transparent)]
    Container(#[from] EmbedError),
    /// The decoder gave up.
    #[error("the PNG cannot be decoded")]
    Undecodable(#[source] png::DecodingError),
    /// The decoder of another format gave up.
    #[error("the image cannot be decoded")]
    Unreadable(#[source] image::ImageError),
    /// Outputs are 8-bit RGB; anything else was made by another program.
    #[error("the PNG is {color:?} with {depth:?} bits; outputs are 8-bit RGB")]
    NotRgb8 {
        /// Colour type.
        color: png::ColorType,
        /// Bit depth.
        depth: png::BitDepth,
    },
    /// Too large to be an output.
    #[error("the image has {0} x {1} pixels, more than any generator makes")]
    TooLarge(u32, u32),
}

/// The largest side a generator makes, with room to spare.
const MAX_SIDE: u32 = 8192;

/// Decodes an output: `(width, height, RGB8 rows)`.
///
/// # Errors
/// When the file is not an 8-bit RGB PNG, a JPEG or a WebP, of a sane size.
pub fn decode(file: &[u8]) -> Result<(u32, u32, Vec<u8>), RasterError> {
    let format = match Container::of(file)? {
        Container::Png => return decode_png(file),
        Container::Jpeg => image::ImageFormat::Jpeg,
        Container::WebP => image::ImageFormat::WebP,
    };
    let mut reader = image::ImageReader::with_format(Cursor::new(file), format);
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    reader.limits(limits);
    let image = reader.decode().map_err(RasterError::Unreadable)?;
    Ok((image.width(), image.height(), image.into_rgb8().into_raw()))
}

fn decode_png(png: &[u8]) -> Result<(u32, u32, Vec<u8>), RasterError> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().map_err(RasterError::Undecodable)?;
    let (width, height) = reader.info().size();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(RasterError::TooLarge(width, height));
    }
    let (color, depth) = reader.output_color_type();
    if (color, depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(RasterError::NotRgb8 { color, depth });
    }
    let mut pixels = vec![0; width as usize * height as usize * 3];
    reader.next_frame(&mut pixels).map_err(RasterError::Undecodable)?;
    Ok((width, height, pixels))
}

/// SHA-256 over the decoded RGB8 rows, top to bottom, without padding.
///
/// # Errors
/// As [`decode`].
pub fn raster_digest(file: &[u8]) -> Result<Digest, RasterError> {
    decode(file).map(|(_, _, pixels)| Digest::of(pixels))
}
