//! From a user's mask file to one byte a pixel of the generator's image: white where it may change, black where it may not.

use super::{Limits, Reject, decode, sniff};
use domain::Reason;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, GrayImage, Luma};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A mask as its file has it, upright.
///
/// # Errors
/// The file's own fault, with its reason.
pub(super) fn to_mask(bytes: &[u8]) -> Result<GrayImage, Reject> {
    // as for sources: a decoder that panics costs one item
    catch_unwind(AssertUnwindSafe(|| {
        let limits = Limits { min_side: 1, ..Limits::default() };
        let decoded = decode::decode(bytes, sniff::sniff(bytes)?, &limits)?;
        let mut image = decoded.image;
        image.apply_orientation(decoded.orientation);
        Ok(to_grey(&image))
    }))
    .unwrap_or_else(|_| Err(Reject::new(Reason::Corrupt, "the mask is damaged in a way that made its decoder fail")))
}

/// Decodes a mask and brings it to `resolution` x `resolution`, one byte a pixel: 0 outside to 255 inside. Its centred square is
/// taken, as its source's is, so a mask has the shape of the image it belongs to; its size may be another.
///
/// # Errors
/// The file's own fault, with its reason.
pub fn prepare_mask(bytes: &[u8], resolution: u32) -> Result<Vec<u8>, Reject> {
    let grey = to_mask(bytes)?;
    let (width, height) = grey.dimensions();
    if (width, height) == (resolution, resolution) {
        return Ok(grey.into_raw());
    }
    let side = f64::from(width.min(height));
    let (left, top) = ((f64::from(width) - side) / 2.0, (f64::from(height) - side) / 2.0);
    let failed =
        |error: &dyn std::error::Error| Reject::new(Reason::Corrupt, format!("the mask cannot be resized: {error}"));
    let source = ImageRef::new(width, height, grey.as_raw(), PixelType::U8).map_err(|e| failed(&e))?;
    let mut target = Image::new(resolution, resolution, PixelType::U8);
    // the box filter is the mean over the area of a pixel, and the nearest pixel when enlarging: no ringing into what is outside
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box)).crop(
        left.floor(),
        top.floor(),
        side,
        side,
    );
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
    Ok(target.into_vec())
}

/// Brightness, with what is transparent counted as black: nobody has said that it may change.
fn to_grey(image: &DynamicImage) -> GrayImage {
    if !image.color().has_alpha() {
        return image.to_luma8();
    }
    let grey = image.to_luma_alpha8();
    // safe to narrow: at most 255
    let over_black = |luma: u8, alpha: u8| ((u32::from(luma) * u32::from(alpha) + 127) / 255) as u8;
    GrayImage::from_fn(grey.width(), grey.height(), |x, y| {
        let [luma, alpha] = grey.get_pixel(x, y).0;
        Luma([over_black(luma, alpha)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, LumaA, Rgb, RgbImage};
    use std::io::Cursor;

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// White in the left half.
    fn half(width: u32, height: u32) -> GrayImage {
        GrayImage::from_fn(width, height, |x, _| Luma([if x < width / 2 { 255 } else { 0 }]))
    }

    #[test]
    fn any_size_keeps_its_edge_and_nothing_rings() {
        for side in [4, 8, 16, 100, 640] {
            let mask = prepare_mask(&png(half(side, side)), 8).unwrap();
            for (place, value) in mask.iter().enumerate() {
                assert_eq!(*value, if place % 8 < 4 { 255 } else { 0 }, "{side}: pixel {place}");
            }
        }
        // an edge inside a pixel is a share of it
        let mask = prepare_mask(&png(half(10, 10)), 5).unwrap();
        assert_eq!(mask[..5], [255, 255, 128, 0, 0]);
    }

    #[test]
    fn the_centred_square_is_taken_as_of_sources() {
        let wide = GrayImage::from_fn(32, 16, |x, _| Luma([if (8..24).contains(&x) { 255 } else { 0 }]));
        assert!(prepare_mask(&png(wide), 16).unwrap().iter().all(|v| *v == 255));
    }

    #[test]
    fn colours_count_by_brightness_and_transparency_as_black() {
        let white = RgbImage::from_pixel(8, 8, Rgb([255; 3]));
        assert_eq!(prepare_mask(&png(white), 8).unwrap(), [255; 64]);
        let clear = image::GrayAlphaImage::from_fn(8, 8, |x, _| LumaA([255, if x < 4 { 255 } else { 0 }]));
        assert_eq!(prepare_mask(&png(clear), 8).unwrap()[..8], [255, 255, 255, 255, 0, 0, 0, 0]);
    }

    #[test]
    fn damage_is_the_masks_own_fault() {
        let bytes = png(half(64, 64));
        assert_eq!(prepare_mask(&bytes[..bytes.len() / 2], 64).unwrap_err().reason, Reason::Truncated);
        assert_eq!(prepare_mask(b"not an image at all", 64).unwrap_err().reason, Reason::NotAnImage);
    }
}
