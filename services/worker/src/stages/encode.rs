//! From pixels to the PNG that a record is then put into (`credentials::embed`).

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
