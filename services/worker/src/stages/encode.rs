//! From pixels to the PNG that is uploaded, with its record inside.

use credentials::{EmbedError, embed_record};
use domain::Digest;
use domain::record::WrittenRecord;

/// An RGB8 raster as PNG bytes. Same pixels, same bytes: fixed compression and filter, no time stamp, no text.
///
/// # Errors
/// When `pixels` does not hold `width * height * 3` bytes.
pub fn encode_png(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::with_capacity(pixels.len() / 2 + 64);
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    encoder.set_filter(png::Filter::Adaptive);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}

/// The finished file: `png` with `record` inside (`credentials::embed`), and its digest.
///
/// # Errors
/// When `png` is not a whole PNG.
pub fn with_record(png: &[u8], record: &WrittenRecord) -> Result<(Vec<u8>, Digest), EmbedError> {
    let file = embed_record(png, record)?;
    let digest = Digest::of(&file);
    Ok((file, digest))
}
