//! How well an inversion draws its image.

use super::fit::for_perceptual;
use crate::engine::Engine;
use crate::error::EditError;
use tch::{Kind, Tensor};

/// The reconstruction of one image, on pixels as files show them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Quality {
    /// Mean squared difference of pixels in [0, 1]; the papers' `L2`, on pixels in [-1, 1], is four times it.
    pub mse: f64,
    /// `-10 log10(mse)`, dB; infinite for equal images.
    pub psnr: f64,
    /// The pack's perceptual distance, where it has a network for it, at 256 px at most.
    pub lpips: Option<f64>,
    /// The cosine of the pack's identity features, where it has a network for them.
    pub identity: Option<f64>,
}

impl Quality {
    /// The finite figures by the names they have in records.
    pub fn metrics(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let named = [
            ("reconstruction_mse", Some(self.mse)),
            ("reconstruction_psnr", Some(self.psnr)),
            ("reconstruction_lpips", self.lpips),
            ("reconstruction_identity", self.identity),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| value.is_finite())?)))
    }
}

/// Compares images `[B, 3, R, R]` with what was drawn of them, both as published.
///
/// # Errors
/// When the shapes differ, the images are too small for the pack's networks, or memory runs out.
pub fn quality(engine: &Engine, images: &Tensor, drawn: &Tensor) -> Result<Vec<Quality>, EditError> {
    let half = images.f_sub(drawn)?.f_to_kind(Kind::Double)?.f_divide_scalar(2.0)?;
    let mse = to_host(&half.f_square()?.f_mean_dim([1_i64, 2, 3].as_slice(), false, None)?)?;
    let (lpips, identity) = tch::no_grad(|| {
        let lpips = match engine.perceptual() {
            Some(network) => Some(to_host(&network.distance(&for_perceptual(images)?, &for_perceptual(drawn)?)?)?),
            None => None,
        };
        let identity = match engine.identity() {
            Some(network) => {
                let cosine = network.features(images)?.f_mul(&network.features(drawn)?)?;
                Some(to_host(&cosine.f_sum_dim_intlist([1_i64].as_slice(), false, None)?)?)
            }
            None => None,
        };
        Ok::<_, EditError>((lpips, identity))
    })?;
    let at = |values: &Option<Vec<f64>>, image: usize| values.as_ref().and_then(|values| values.get(image).copied());
    let each = mse.iter().enumerate().map(|(image, &mse)| Quality {
        mse,
        psnr: -10.0 * mse.log10(),
        lpips: at(&lpips, image),
        identity: at(&identity, image),
    });
    Ok(each.collect())
}

fn to_host(values: &Tensor) -> Result<Vec<f64>, EditError> {
    Ok(Vec::try_from(values.f_to_device(tch::Device::Cpu)?.f_to_kind(Kind::Double)?)?)
}
