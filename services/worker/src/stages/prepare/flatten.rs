//! Any pixel type to opaque 8-bit RGB.

use super::conversion;
use image::{DynamicImage, Pixel, RgbImage, Rgba};

/// Blends transparency over white: pixels behind alpha carry arbitrary hidden colours (often black), so dropping alpha would show
/// what nobody ever saw, and white is what viewers and dataset tools put behind cut-out pictures. Blending is on the stored
/// (gamma-encoded) values, as browsers do it, at the file's own depth, so rounding happens once.
pub(super) fn to_rgb8(image: DynamicImage, conversions: &mut Vec<String>) -> RgbImage {
    let colour = image.color();
    let channel_bits = u32::from(colour.bits_per_pixel()) / u32::from(colour.channel_count());
    match channel_bits {
        16 => conversions.push(conversion::SIXTEEN_BIT_TO_EIGHT.to_owned()),
        32 => conversions.push(conversion::FLOAT_TO_EIGHT_BIT.to_owned()),
        _ => {}
    }
    if !colour.has_color() {
        conversions.push(conversion::GREY_TO_RGB.to_owned());
    }
    if !colour.has_alpha() {
        return image.into_rgb8();
    }
    let (width, height) = (image.width(), image.height());
    let (opaque, pixels) = if channel_bits == 8 {
        let rgba = image.into_rgba8();
        (rgba.pixels().all(|p| p.0[3] == u8::MAX), blend(rgba.pixels(), u64::from(u8::MAX)))
    } else {
        let rgba = image.into_rgba16();
        (rgba.pixels().all(|p| p.0[3] == u16::MAX), blend(rgba.pixels(), u64::from(u16::MAX)))
    };
    let done = if opaque { conversion::OPAQUE_ALPHA_DROPPED } else { conversion::ALPHA_OVER_WHITE };
    conversions.push(done.to_owned());
    // Safe because blend() gives three bytes for each pixel of an image of this size.
    RgbImage::from_raw(width, height, pixels).expect("three bytes a pixel")
}

/// `c * a + 1 * (1 - a)` per channel, to the nearest of 256 values.
fn blend<'a, S>(pixels: impl ExactSizeIterator<Item = &'a Rgba<S>>, max: u64) -> Vec<u8>
where
    S: image::Primitive + Into<u64> + 'a,
    Rgba<S>: Pixel<Subpixel = S>,
{
    let mut out = Vec::with_capacity(pixels.len() * 3);
    for pixel in pixels {
        let [r, g, b, a] = pixel.0.map(Into::into);
        for channel in [r, g, b] {
            let blended = channel * a + max * (max - a); // of max * max
            let byte = (blended * 255 + max * max / 2) / (max * max);
            out.push(u8::try_from(byte).unwrap_or(u8::MAX));
        }
    }
    out
}
