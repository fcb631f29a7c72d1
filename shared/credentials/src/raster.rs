//! The digest of what a picture shows, whatever file it is stored in.

use domain::Digest;
use std::io::Cursor;

/// A PNG whose pixels cannot be read as 8-bit RGB.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    /// The decoder gave up.
    #[error("the PNG cannot be decoded")]
    Undecodable(#[source] png::DecodingError),
    /// Outputs are 8-bit RGB; anything else was made by another program.
    #[error("the PNG is {color:?} with {depth:?} bits; outputs are 8-bit RGB")]
    NotRgb8 {
        /// Colour type.
        color: png::ColorType,
        /// Bit depth.
        depth: png::BitDepth,
    },
    /// Too large to be an output.
    #[error("the PNG has {0} x {1} pixels, more than any generator makes")]
    TooLarge(u32, u32),
}

/// The largest side a generator makes, with room to spare.
const MAX_SIDE: u32 = 8192;

/// Decodes an output PNG: `(width, height, RGB8 rows)`.
///
/// # Errors
/// When the file is not an 8-bit RGB PNG of a sane size.
pub fn decode(png: &[u8]) -> Result<(u32, u32, Vec<u8>), RasterError> {
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
pub fn raster_digest(png: &[u8]) -> Result<Digest, RasterError> {
    decode(png).map(|(_, _, pixels)| Digest::of(pixels))
}
