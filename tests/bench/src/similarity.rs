//! Likeness to the drawn truth, over the whole image and over parts of it.

use anyhow::Result;
use tch::{Kind, Tensor};

/// Standard deviation of SSIM's window, px, and its reach (Wang et al. 2004: 11 x 11, 1.5).
const SIGMA: f64 = 1.5;
const REACH: i64 = 5;
/// SSIM's constants for images in [0, 1].
const C1: f64 = 0.01 * 0.01;
const C2: f64 = 0.03 * 0.03;

/// A value per image, whole and over two parts; none where a part is empty.
pub struct Regional {
    /// Over all pixels.
    pub whole: Vec<Option<f64>>,
    /// Over the pixels of each part.
    pub parts: [Vec<Option<f64>>; 2],
}

/// Peak signal-to-noise ratio, dB, of `[N, 3, R, R]` pairs in [-1, 1]; the parts are masks `[N, R, R]`. Equal parts give
/// infinity.
///
/// # Errors
/// When libtorch fails.
pub fn psnr(a: &Tensor, b: &Tensor, parts: [&Tensor; 2]) -> Result<Regional> {
    let half = a.f_sub(b)?.f_divide_scalar(2.0)?;
    let map = half.f_square()?.f_mean_dim([1_i64].as_slice(), false, None)?;
    let decibel = |values: Vec<Option<f64>>| values.into_iter().map(|v| v.map(|mse| -10.0 * mse.log10())).collect();
    let Regional { whole, parts: [first, second] } = averaged(&map, parts)?;
    Ok(Regional { whole: decibel(whole), parts: [decibel(first), decibel(second)] })
}

/// Peak signal-to-noise ratio of two rasters of bytes, dB; infinite where they are equal.
pub fn psnr_of_rasters(a: &[u8], b: &[u8]) -> f64 {
    let squares: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    // Safe to widen: sums over one image are far below 2^53.
    10.0 * (255.0_f64.powi(2) * a.len() as f64 / squares as f64).log10()
}

/// Structural similarity (Wang et al. 2004) of `[N, 3, R, R]` pairs in [-1, 1]: the mean of its map over the colours and
/// pixels, borders reflected so that every pixel has a value.
///
/// # Errors
/// When libtorch fails.
pub fn ssim(a: &Tensor, b: &Tensor, parts: [&Tensor; 2]) -> Result<Regional> {
    let side = a.size()[3];
    let unit = |x: &Tensor| x.f_add_scalar(1.0)?.f_divide_scalar(2.0)?.f_view([-1, 1, side, side]);
    let (a, b) = (unit(a)?, unit(b)?);
    let [mean_a, mean_b] = [blur(&a)?, blur(&b)?];
    let spread = |x: &Tensor, y: &Tensor, mx: &Tensor, my: &Tensor| blur(&x.f_mul(y)?)?.f_sub(&mx.f_mul(my)?);
    let (of_a, of_b) = (spread(&a, &a, &mean_a, &mean_a)?, spread(&b, &b, &mean_b, &mean_b)?);
    let both = spread(&a, &b, &mean_a, &mean_b)?;
    let twice = |x: &Tensor, c: f64| x.f_multiply_scalar(2.0)?.f_add_scalar(c);
    let above = twice(&mean_a.f_mul(&mean_b)?, C1)?.f_mul(&twice(&both, C2)?)?;
    let means = mean_a.f_square()?.f_add(&mean_b.f_square()?)?.f_add_scalar(C1)?;
    let map = above.f_div(&means.f_mul(&of_a.f_add(&of_b)?.f_add_scalar(C2)?)?)?;
    averaged(&map.f_view([-1, 3, side, side])?.f_mean_dim([1_i64].as_slice(), false, None)?, parts)
}

/// Gaussian blur of `[N, 1, R, R]`.
fn blur(x: &Tensor) -> Result<Tensor, tch::TchError> {
    let offsets = Tensor::f_arange_start(-REACH, REACH + 1, (Kind::Float, x.device()))?;
    let weights = offsets.f_square()?.f_multiply_scalar(-0.5 / (SIGMA * SIGMA))?.f_exp()?;
    let weights = weights.f_div(&weights.f_sum(None)?)?;
    let padded = x.f_reflection_pad2d([REACH; 4])?;
    let across = padded.f_conv2d(&weights.f_view([1, 1, 1, -1])?, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
    across.f_conv2d(&weights.f_view([1, 1, -1, 1])?, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)
}

/// Means of maps `[N, R, R]`.
fn averaged(map: &Tensor, parts: [&Tensor; 2]) -> Result<Regional> {
    let map = map.f_to_kind(Kind::Double)?;
    let over = |part: &Tensor| -> Result<Vec<Option<f64>>> {
        let part = part.f_to_kind(Kind::Double)?;
        let sum = |x: &Tensor| -> Result<Vec<f64>> {
            Ok(Vec::try_from(x.f_sum_dim_intlist([1_i64, 2].as_slice(), false, None)?)?)
        };
        let (total, size) = (sum(&map.f_mul(&part)?)?, sum(&part)?);
        Ok(total.into_iter().zip(size).map(|(total, size)| (size > 0.0).then(|| total / size)).collect())
    };
    Ok(Regional { whole: over(&map.f_ones_like()?)?, parts: [over(parts[0])?, over(parts[1])?] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn noise(seed: i64) -> Tensor {
        // Numbers that look random, without libtorch's global generator.
        let steps = Tensor::arange(3 * 32 * 32, (Kind::Double, Device::Cpu));
        (((steps + seed as f64) * 12.9898).sin() * 43758.5453).frac().view([1, 3, 32, 32]).to_kind(Kind::Float)
    }

    #[test]
    fn equal_images_are_alike_and_a_change_is_seen_where_it_is() {
        let a = noise(1);
        let b = a.copy();
        let _ = b.narrow(2, 0, 8).fill_(0.0);
        let inside = Tensor::zeros([1, 32, 32], (Kind::Float, Device::Cpu));
        let _ = inside.narrow(1, 0, 8).fill_(1.0);
        let outside: Tensor = 1.0 - &inside;
        let same = ssim(&a, &a, [&inside, &outside]).unwrap();
        assert!((same.whole[0].unwrap() - 1.0).abs() < 1e-5);
        let changed = ssim(&a, &b, [&inside, &outside]).unwrap();
        assert!(changed.parts[0][0].unwrap() < 0.3 && changed.parts[1][0].unwrap() > 0.85);
        let ratio = psnr(&a, &b, [&inside, &outside]).unwrap();
        assert_eq!(ratio.parts[1][0], Some(f64::INFINITY));
        assert!(ratio.parts[0][0].unwrap() < ratio.whole[0].unwrap());
        assert_eq!(psnr(&a, &b, [&inside, &inside.zeros_like()]).unwrap().parts[1][0], None);
    }

    #[test]
    fn a_known_error_has_the_ratio_it_should() {
        let a = Tensor::zeros([1, 3, 16, 16], (Kind::Float, Device::Cpu));
        let all = Tensor::ones([1, 16, 16], (Kind::Float, Device::Cpu));
        // A tenth of the range: 20 dB. Flat images: SSIM is the luminance term alone.
        let b = &a + 0.2;
        assert!((psnr(&a, &b, [&all, &all]).unwrap().whole[0].unwrap() - 20.0).abs() < 1e-3);
        let luminance = (2.0 * 0.5 * 0.6 + C1) / (0.25 + 0.36 + C1);
        assert!((ssim(&a, &b, [&all, &all]).unwrap().whole[0].unwrap() - luminance).abs() < 1e-3);
    }
}
