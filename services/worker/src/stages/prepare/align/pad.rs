//! More of an image than there is: mirrored outwards, blurred towards the new edge, and faded to the median colour at it.
//!
//! Channel by channel in 32-bit floats, with the sums of a blur in 64 bits, as NumPy and SciPy's `gaussian_filter` have it.

use image::RgbImage;

/// SciPy's Gaussian ends after so many deviations.
const TRUNCATE: f64 = 4.0;

/// The image with `pads` pixels more at its left, top, right and bottom (each at least 1); `blur` is the deviation of the Gaussian, px.
pub(super) fn faded(image: &RgbImage, pads: [usize; 4], blur: f64) -> RgbImage {
    let [left, top, right, bottom] = pads;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (wide, high) = (left + width + right, top + height + bottom);
    let from_x: Vec<usize> = (0..wide).map(|x| mirrored(x as i64 - left as i64, width)).collect();
    let from_y: Vec<usize> = (0..high).map(|y| mirrored(y as i64 - top as i64, height)).collect();
    // 1 at the new edge, 0 at the old one, negative inside
    let nearness = |at: usize, count: usize, before: usize, after: usize| {
        1.0 - (at as f64 / before as f64).min((count - 1 - at) as f64 / after as f64)
    };
    let edge_x: Vec<f64> = (0..wide).map(|x| nearness(x, wide, left, right)).collect();
    let edge_y: Vec<f64> = (0..high).map(|y| nearness(y, high, top, bottom)).collect();
    // safe to narrow: a frame is at most a few thousand pixels wide
    let mut out = RgbImage::new(wide as u32, high as u32);
    for channel in 0..3 {
        let pixels = image.as_raw();
        let places = from_y.iter().flat_map(|y| from_x.iter().map(move |x| y * width + x));
        let mut plane: Vec<f32> = places.map(|place| f32::from(pixels[place * 3 + channel])).collect();
        let blurred = gaussian(&plane, wide, blur);
        let masks = || edge_y.iter().flat_map(|y| edge_x.iter().map(|x| x.max(*y)));
        for ((value, blurred), mask) in plane.iter_mut().zip(blurred).zip(masks()) {
            *value = toward(*value, blurred, (mask * 3.0 + 1.0).clamp(0.0, 1.0));
        }
        let middle = median(plane.clone());
        let target = out.iter_mut().skip(channel).step_by(3);
        for ((value, mask), target) in plane.iter().zip(masks()).zip(target) {
            let faded = toward(*value, middle, mask.clamp(0.0, 1.0));
            // safe to narrow: within 0 to 255
            *target = faded.round_ties_even().clamp(0.0, 255.0) as u8;
        }
    }
    out
}

/// A part of the way from a value to another.
fn toward(from: f32, to: f32, part: f64) -> f32 {
    (f64::from(from) + f64::from(to - from) * part) as f32
}

/// The place that mirrors `at`, with the edge pixel once (NumPy's `reflect`).
fn mirrored(at: i64, count: usize) -> usize {
    let last = count as i64 - 1;
    if last == 0 {
        return 0;
    }
    let at = at.rem_euclid(2 * last);
    // safe to narrow: within 0 to `last`
    (if at > last { 2 * last - at } else { at }) as usize
}

/// The place that mirrors `at`, with the edge pixel twice (SciPy's `reflect`).
fn doubled(at: i64, count: usize) -> usize {
    let count = count as i64;
    let at = at.rem_euclid(2 * count);
    // safe to narrow: within 0 to the last
    (if at >= count { 2 * count - 1 - at } else { at }) as usize
}

/// A Gaussian blur of a plane `wide` pixels wide: down its columns, then along its rows.
fn gaussian(plane: &[f32], wide: usize, deviation: f64) -> Vec<f32> {
    if deviation <= 1e-15 {
        return plane.to_vec();
    }
    // the middle one first
    let radius = (TRUNCATE * deviation + 0.5) as usize;
    let bell = |x: usize| (-0.5 / (deviation * deviation) * (x * x) as f64).exp();
    let sum: f64 = bell(0) + 2.0 * (1..=radius).map(bell).sum::<f64>();
    let weights: Vec<f64> = (0..=radius).map(|x| bell(x) / sum).collect();

    let high = plane.len() / wide;
    let row = |y: usize| &plane[y * wide..(y + 1) * wide];
    let mut down = Vec::with_capacity(plane.len());
    let mut sums = vec![0.0_f64; wide];
    for y in 0..high {
        sums.iter_mut().zip(row(y)).for_each(|(sum, value)| *sum = f64::from(*value) * weights[0]);
        for (distance, weight) in weights.iter().enumerate().skip(1).rev() {
            let [above, below] = [-(distance as i64), distance as i64].map(|d| row(doubled(y as i64 + d, high)));
            for ((sum, a), b) in sums.iter_mut().zip(above).zip(below) {
                *sum += (f64::from(*a) + f64::from(*b)) * weight;
            }
        }
        down.extend(sums.iter().map(|sum| *sum as f32));
    }

    let reach: Vec<usize> = (0..wide + 2 * radius).map(|x| doubled(x as i64 - radius as i64, wide)).collect();
    let mut line = vec![0.0_f64; reach.len()];
    for values in down.chunks_exact_mut(wide) {
        line.iter_mut().zip(&reach).for_each(|(to, from)| *to = f64::from(values[*from]));
        sums.iter_mut().zip(&line[radius..]).for_each(|(sum, value)| *sum = value * weights[0]);
        for (distance, weight) in weights.iter().enumerate().skip(1).rev() {
            let (before, after) = (&line[radius - distance..], &line[radius + distance..]);
            for ((sum, a), b) in sums.iter_mut().zip(before).zip(after) {
                *sum += (a + b) * weight;
            }
        }
        values.iter_mut().zip(&sums).for_each(|(value, sum)| *value = *sum as f32);
    }
    down
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f32>) -> f32 {
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    let (below, upper, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    if odd {
        return *upper;
    }
    let lower = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f32::midpoint(lower, *upper)
}
