//! Pillow's `resize(…, LANCZOS)` of 8-bit images: windowed sinc of three lobes, widened when an image gets smaller, its weights in fixed
//! point; columns first, to 8 bits, then rows (Pillow, Resample.c).

use image::RgbImage;

/// Bits behind the point of a weight: 8 of 32 are the pixel's, 2 are for sums above white.
const PRECISION: u32 = 32 - 8 - 2;
/// Lobes of the sinc on either side.
const LOBES: f64 = 3.0;

/// The pixels that make one, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The image at another size.
pub(super) fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut image = image.clone();
    if image.width() != width {
        image = columns(&image, width);
    }
    if image.height() != height {
        image = rows(&image, height);
    }
    image
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

fn taps(from: u32, to: u32) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let widened = scale.max(1.0);
    let support = LOBES * widened;
    let filter = |x: f64| if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 };
    (0..to)
        .map(|place| {
            let centre = (f64::from(place) + 0.5) * scale;
            // `as` truncates as C does, and makes what is negative 0
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from as usize);
            let exact: Vec<f64> = (first..end).map(|x| filter((x as f64 - centre + 0.5) * (1.0 / widened))).collect();
            let sum: f64 = exact.iter().sum();
            let fixed = |weight: &f64| {
                let weight = if sum == 0.0 { *weight } else { weight / sum } * f64::from(1 << PRECISION);
                (if weight < 0.0 { weight - 0.5 } else { weight + 0.5 }) as i32
            };
            Taps { first, weights: exact.iter().map(fixed).collect() }
        })
        .collect()
}

/// A sum of weighted pixels, to 8 bits.
fn clip(sum: i32) -> u8 {
    // safe to narrow: within 0 to 255
    (sum >> PRECISION).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION - 1);

fn columns(image: &RgbImage, width: u32) -> RgbImage {
    let taps = taps(image.width(), width);
    let mut out = RgbImage::new(width, image.height());
    let (from, to) = (image.width() as usize * 3, width as usize * 3);
    for (source, target) in image.as_raw().chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        for (Taps { first, weights }, pixel) in taps.iter().zip(target.chunks_exact_mut(3)) {
            let mut sums = [HALF; 3];
            for (weight, colours) in weights.iter().zip(source[first * 3..].chunks_exact(3)) {
                sums.iter_mut().zip(colours).for_each(|(sum, colour)| *sum += weight * i32::from(*colour));
            }
            pixel.copy_from_slice(&sums.map(clip));
        }
    }
    out
}

fn rows(image: &RgbImage, height: u32) -> RgbImage {
    let taps = taps(image.height(), height);
    let mut out = RgbImage::new(image.width(), height);
    let row = image.width() as usize * 3;
    let mut sums = vec![HALF; row];
    for (Taps { first, weights }, target) in taps.iter().zip(out.chunks_exact_mut(row)) {
        sums.fill(HALF);
        for (weight, source) in weights.iter().zip(image.as_raw()[first * row..].chunks_exact(row)) {
            sums.iter_mut().zip(source).for_each(|(sum, colour)| *sum += weight * i32::from(*colour));
        }
        target.iter_mut().zip(&sums).for_each(|(pixel, sum)| *pixel = clip(*sum));
    }
    out
}
