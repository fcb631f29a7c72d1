//! A face, turned, cut, padded and scaled into FFHQ's frame: `recreate_aligned_images` of NVlabs/ffhq-dataset (download_ffhq.py; Karras
//! et al. 2019, appendix A), with its own defaults: levelled eyes, no random shift, padding on.
//!
//! ```text
//! quad ─▶ shrink (lanczos) ─▶ crop ─▶ pad: mirrored, blurred, faded to the median ─▶ warp (bilinear, at 4x) ─▶ shrink (lanczos)
//! ```
//! FFHQ is 1024 px wide and warped at 4096. The frame here is the pack's: `size` px, warped at four times that, at most 4096. (The
//! `align_face` of pSp and e4e is the same with 256 for both, so its images are less smooth: its warp has no antialiasing.)
//!
//! The arithmetic is that of Pillow (8-bit fixed point in resizes, truncation in warps), NumPy and SciPy, and the images are those
//! that they give: `fixtures/make.py` writes what `tests` compares.

mod lanczos;
mod pad;
mod quad;
#[cfg(test)]
mod tests;
mod warp;

use domain::landmarks::Anchors;
use image::{GrayImage, Rgb, RgbImage};
use quad::Quad;

/// The widest warp, px: FFHQ's own.
const WIDEST: u32 = 4096;

/// Why an image has no face to frame by such landmarks.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub(super) enum Misplaced {
    #[error("eyes and mouth are in one place, so they lay no frame")]
    OnePlace,
    #[error("the middle of the face, at ({0:.0}, {1:.0}), is not in the image")]
    Outside(f64, f64),
}

/// What was done on the way, besides turning and scaling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Done {
    /// By which factor the image was made smaller first.
    pub(super) shrunk: Option<u32>,
    /// Whether the frame reached beyond the image.
    pub(super) padded: bool,
}

/// How wide a frame is warped before it is made smaller, px.
fn warped(size: u32) -> u32 {
    size.saturating_mul(4).min(WIDEST).max(size)
}

/// The mask of an image, framed as the image is by the same points (at the mask's own scale): one byte a pixel, the mean of what the
/// warp shows in it, so that nothing rings. Beyond the mask is black: nobody has said that it may change.
pub(super) fn align_mask(mask: &GrayImage, anchors: &Anchors, size: u32) -> Option<Vec<u8>> {
    let quad = Quad::of(anchors)?;
    let wide = warped(size);
    let colours = RgbImage::from_fn(mask.width(), mask.height(), |x, y| Rgb(mask.get_pixel(x, y).0.map(|v| [v; 3])[0]));
    let warped = warp::warp(&colours, &quad, wide);
    let part = wide / size;
    let mean = |x: u32, y: u32| {
        let values =
            (0..part * part).map(|n| u32::from(warped.get_pixel(x * part + n % part, y * part + n / part).0[0]));
        // safe to narrow: a mean of bytes
        ((values.sum::<u32>() + part * part / 2) / (part * part)) as u8
    };
    Some((0..size * size).map(|n| mean(n % size, n / size)).collect())
}

/// The face of `image` that `anchors` lie on, as `size` x `size` pixels.
///
/// # Errors
/// When the anchors lay no frame, or one that is not on the image.
pub(super) fn align(image: RgbImage, anchors: &Anchors, size: u32) -> Result<(RgbImage, Done), Misplaced> {
    let mut quad = Quad::of(anchors).ok_or(Misplaced::OnePlace)?;
    let [x, y] = quad.centre();
    let within = |c: f64, side: u32| (-0.5..f64::from(side) - 0.5).contains(&c);
    if !within(x, image.width()) || !within(y, image.height()) {
        return Err(Misplaced::Outside(x, y));
    }
    let mut image = image;
    let mut done = Done::default();

    // narrow enough for an integer: a frame is at most some millions of pixels wide
    let shrink = (quad.side / f64::from(size) * 0.5).floor() as u32;
    if shrink > 1 {
        let shrunk = |side: u32| ((f64::from(side) / f64::from(shrink)).round_ties_even() as u32).max(1);
        image = lanczos::resize(&image, shrunk(image.width()), shrunk(image.height()));
        quad.shrink(f64::from(shrink));
        done.shrunk = Some(shrink);
    }

    let border = (quad.side * 0.1).round_ties_even().max(3.0) as i64;
    let [width, height] = [i64::from(image.width()), i64::from(image.height())];
    let [left, top, right, bottom] = quad.bounds();
    let (left, top) = ((left - border).max(0), (top - border).max(0));
    let (right, bottom) = ((right + border).min(width), (bottom + border).min(height));
    if right - left < width || bottom - top < height {
        // inside the image by the bounds above, and not empty, because the frame's middle is on the image
        let [x, y, w, h] = [left, top, right - left, bottom - top].map(|c| u32::try_from(c).unwrap_or(0));
        image = image::imageops::crop_imm(&image, x, y, w, h).to_image();
        quad.shift([-(left as f64), -(top as f64)]);
    }

    let [width, height] = [i64::from(image.width()), i64::from(image.height())];
    let [left, top, right, bottom] = quad.bounds();
    let missing = [-left, -top, right - width, bottom - height].map(|m| (m + border).max(0));
    if missing.iter().any(|&m| m > border - 4) {
        let least = (quad.side * 0.3).round_ties_even() as i64;
        let pads = missing.map(|m| usize::try_from(m.max(least)).unwrap_or(0));
        image = pad::faded(&image, pads, quad.side * 0.02);
        quad.shift([pads[0] as f64, pads[1] as f64]);
        done.padded = true;
    }

    let wide = warped(size);
    let image = warp::warp(&image, &quad, wide);
    let image = if wide > size { lanczos::resize(&image, size, size) } else { image };
    Ok((image, done))
}
