//! Figures of a trained pack.

use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;

/// Peak signal-to-noise ratio of pictures in [-1, 1], mean over the batch, dB.
pub fn psnr(a: &Tensor, b: &Tensor) -> Result<f64, TrainingError> {
    let off = a.f_clamp(-1.0, 1.0)?.f_sub(b)?.f_multiply_scalar(0.5)?.f_square()?;
    let each = off.f_mean_dim([1, 2, 3].as_slice(), false, Kind::Float)?.f_log10()?.f_multiply_scalar(-10.0)?;
    Ok(each.f_mean(Kind::Float)?.f_double_value(&[])?)
}

/// Structural similarity (Wang et al., 2004, <https://doi.org/10.1109/TIP.2003.819861>) with the usual 11 px Gaussian window
/// of deviation 1.5, mean over channels and batch. Pictures in [-1, 1].
pub fn ssim(a: &Tensor, b: &Tensor) -> Result<f64, TrainingError> {
    let at = Tensor::f_arange_start(-5, 6, (Kind::Float, a.device()))?;
    let window = at.f_square()?.f_multiply_scalar(-1.0 / (2.0 * 1.5 * 1.5))?.f_exp()?;
    let window = window.f_div(&window.f_sum(Kind::Float)?)?;
    let window = window.f_outer(&window)?.f_expand([3, 1, 11, 11], false)?;
    let mean = |x: &Tensor| x.f_conv2d(&window, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 3);
    let unit = |x: &Tensor| x.f_clamp(-1.0, 1.0)?.f_add_scalar(1.0)?.f_multiply_scalar(0.5);
    let (a, b) = (unit(a)?, unit(b)?);
    let (ma, mb) = (mean(&a)?, mean(&b)?);
    let (va, vb) = (mean(&a.f_square()?)?.f_sub(&ma.f_square()?)?, mean(&b.f_square()?)?.f_sub(&mb.f_square()?)?);
    let both = mean(&a.f_mul(&b)?)?.f_sub(&ma.f_mul(&mb)?)?;
    let (c1, c2) = (0.01f64.powi(2), 0.03f64.powi(2));
    let above = ma.f_mul(&mb)?.f_multiply_scalar(2.0)?.f_add_scalar(c1)?;
    let above = above.f_mul(&both.f_multiply_scalar(2.0)?.f_add_scalar(c2)?)?;
    let below = ma.f_square()?.f_add(&mb.f_square()?)?.f_add_scalar(c1)?;
    let below = below.f_mul(&va.f_add(&vb)?.f_add_scalar(c2)?)?;
    Ok(above.f_div(&below)?.f_mean(Kind::Float)?.f_double_value(&[])?)
}

/// Fréchet distance of the normal distributions fitted to two sets of features `[N, D]` (Dowson and Landau, 1982): in the
/// features of a judge it is no FID, but as good for comparing generators of one pack.
pub fn frechet(a: &Tensor, b: &Tensor) -> Result<f64, TrainingError> {
    let wide = |x: &Tensor| x.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double);
    let moments = |x: &Tensor| {
        let mean = x.f_mean_dim([0].as_slice(), true, Kind::Double)?;
        let off = x.f_sub(&mean)?;
        let covariance = off.f_tr()?.f_matmul(&off)?.f_multiply_scalar(1.0 / (x.size()[0] - 1).max(1) as f64)?;
        Ok::<_, TrainingError>((mean, covariance))
    };
    let ((ma, ca), (mb, cb)) = (moments(&wide(a)?)?, moments(&wide(b)?)?);
    // tr sqrt(A B) = tr sqrt(√A B √A), and the latter is symmetric.
    let (values, vectors) = ca.f_linalg_eigh("L")?;
    let root = vectors.f_mul(&values.f_clamp_min(0.0)?.f_sqrt()?)?.f_matmul(&vectors.f_tr()?)?;
    let (values, _) = root.f_matmul(&cb)?.f_matmul(&root)?.f_linalg_eigh("L")?;
    let cross = values.f_clamp_min(0.0)?.f_sqrt()?.f_sum(Kind::Double)?;
    let means = ma.f_sub(&mb)?.f_square()?.f_sum(Kind::Double)?;
    let traces = ca.f_trace()?.f_add(&cb.f_trace()?)?;
    Ok(means.f_add(&traces)?.f_sub(&cross.f_multiply_scalar(2.0)?)?.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_are_alike_and_noise_is_not() {
        tch::manual_seed(1);
        let a = Tensor::rand([2, 3, 32, 32], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        assert!((ssim(&a, &a).unwrap() - 1.0).abs() < 1e-5);
        assert!(ssim(&a, &a.flip([2])).unwrap() < 0.2);
        // An offset of 0.2 in [-1, 1] is 0.1 of the range: 20 dB.
        let grey = Tensor::zeros([1, 3, 16, 16], (Kind::Float, Device::Cpu));
        assert!((psnr(&(&grey + 0.2), &grey).unwrap() - 20.0).abs() < 1e-3);
    }

    #[test]
    fn the_frechet_distance_of_shifted_normals_is_the_squared_shift() {
        tch::manual_seed(2);
        let a = Tensor::randn([20_000, 3], (Kind::Float, Device::Cpu));
        let b = &a * 2.0 + Tensor::from_slice(&[3.0f32, 0.0, 0.0]);
        // Deviations 1 and 2 in each of three directions: 3² + 3 (2 - 1)².
        let found = frechet(&a, &b).unwrap();
        assert!((found - 12.0).abs() < 0.3, "{found}");
        assert!(frechet(&a, &a).unwrap().abs() < 1e-6);
    }
}
