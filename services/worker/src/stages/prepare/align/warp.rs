//! Pillow's `transform(…, QUAD, …, BILINEAR)`: the quadrilateral of an image as a square (Pillow, Image.py and Geometry.c). It reads four
//! pixels for each, however many lie between, and cuts the result to 8 bits without rounding.

use super::quad::Quad;
use image::RgbImage;

/// The frame as `side` x `side` pixels; what is outside the image is black.
pub(super) fn warp(image: &RgbImage, quad: &Quad, side: u32) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut out = RgbImage::new(side, side);
    // landmarks count from the centre of a pixel, Pillow from its corner
    let [top_left, bottom_left, bottom_right, top_right] = quad.corners.map(|corner| corner.map(|c| c + 0.5));
    let step = 1.0 / f64::from(side);
    let bilinear: [[f64; 4]; 2] = [0, 1].map(|axis| {
        let (nw, sw, se, ne) = (top_left[axis], bottom_left[axis], bottom_right[axis], top_right[axis]);
        [nw, (ne - nw) * step, (sw - nw) * step, (se - sw - ne + nw) * step * step]
    });
    let row = width * 3;
    let pixels = image.as_raw();
    for (y, line) in out.chunks_exact_mut(side as usize * 3).enumerate() {
        for (x, target) in line.chunks_exact_mut(3).enumerate() {
            let (right, down) = (x as f64 + 0.5, y as f64 + 0.5);
            let [at_x, at_y] = bilinear.map(|[a, b, c, d]| a + b * right + c * down + d * right * down);
            let inside = (0.0..width as f64).contains(&at_x) && (0.0..height as f64).contains(&at_y);
            if !inside {
                continue;
            }
            let (left, top) = ((at_x - 0.5).floor(), (at_y - 0.5).floor());
            let (dx, dy) = (at_x - 0.5 - left, at_y - 0.5 - top);
            // from -1 to the last pixel; beyond an edge is the edge
            let clip = |c: f64, side: usize| (c.max(0.0) as usize).min(side - 1);
            let (x0, x1) = (clip(left, width) * 3, clip(left + 1.0, width) * 3);
            let (y0, y1) = (clip(top, height) * row, clip(top + 1.0, height) * row);
            for (channel, value) in target.iter_mut().enumerate() {
                let at = |x: usize, y: usize| f64::from(pixels[y + x + channel]);
                let upper = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * dx;
                let lower = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * dx;
                // safe to narrow: between the values of four pixels
                *value = (upper + (lower - upper) * dy) as u8;
            }
        }
    }
    out
}
