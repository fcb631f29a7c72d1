//! The largest centred square, at the generator's size.

use super::{Reject, conversion};
use domain::Reason;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;

/// Crops, then resizes with Catmull-Rom: the antialiased bicubic that Pillow and CLIP's own pipeline use, sharper than a triangle and
/// with less ringing at hard edges than Lanczos. An image that already has the size is passed through untouched.
pub(super) fn to_square(image: RgbImage, resolution: u32, conversions: &mut Vec<String>) -> Result<Vec<u8>, Reject> {
    let (width, height) = image.dimensions();
    if width != height {
        conversions.push(conversion::CENTRE_CROP.to_owned());
    }
    if (width, height) == (resolution, resolution) {
        return Ok(image.into_raw());
    }
    let side = width.min(height);
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    if side == resolution {
        return Ok(image::imageops::crop_imm(&image, left, top, side, side).to_image().into_raw());
    }
    conversions.push(conversion::RESIZE_CATMULL_ROM.to_owned());
    // Neither can fail: the buffer has the size of the image, and the crop lies inside it. Said as an error all the same, so that a
    // mistake here costs one item and not the worker.
    let failed =
        |error: &dyn std::error::Error| Reject::new(Reason::Corrupt, format!("the image cannot be resized: {error}"));
    let source = ImageRef::new(width, height, image.as_raw(), PixelType::U8x3).map_err(|e| failed(&e))?;
    let mut target = Image::new(resolution, resolution, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom)).crop(
        f64::from(left),
        f64::from(top),
        f64::from(side),
        f64::from(side),
    );
    Resizer::new().resize(&source, &mut target, &options).map_err(|e| failed(&e))?;
    Ok(target.into_vec())
}
