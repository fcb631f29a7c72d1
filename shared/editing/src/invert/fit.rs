//! How near a drawn image is to the wanted one, per image.

use crate::engine::Engine;
use crate::error::EditError;
use networks::perceptual::{Perceptual, PerceptualFeatures};
use tch::{Device, TchError, Tensor};

/// Halvings at which images are compared besides the full size, and their weight.
const PYRAMID: (u32, f64) = (2, 0.5);
/// Larger images are averaged down to this side before a perceptual network sees them, as in NVIDIA's projector; its
/// distances, and thresholds on them, depend on the size.
const PERCEPTUAL_SIDE: i64 = 256;

/// The images that are wanted, with what is computed of them once.
pub(super) struct Target<'a> {
    images: Tensor,
    perceptual: Option<(&'a Perceptual, PerceptualFeatures)>,
}

impl<'a> Target<'a> {
    /// `images` `[B, 3, R, R]`, compared by their pixels alone.
    pub(super) fn of_pixels(images: &Tensor) -> Self {
        Target { images: images.shallow_clone(), perceptual: None }
    }

    /// `images` `[B, 3, R, R]`, compared by the pack's perceptual network too, where it has one.
    pub(super) fn new(engine: &'a Engine, images: &Tensor) -> Result<Self, EditError> {
        let perceptual = match engine.perceptual() {
            Some(network) => {
                let features = tch::no_grad(|| network.features(&for_perceptual(images)?))?;
                Some((network, features))
            }
            None => None,
        };
        Ok(Target { perceptual, ..Target::of_pixels(images) })
    }

    /// `drawn` minus the wanted images at `places`, `[rows, 3, R, R]`.
    pub(super) fn difference(&self, drawn: &Tensor, places: &Tensor) -> Result<Tensor, TchError> {
        drawn.f_sub(&self.images.f_index_select(0, places)?)
    }

    /// The perceptual distance `[rows]`, where there is a network for it. Gradients flow to `drawn`.
    pub(super) fn perceptual(&self, drawn: &Tensor, places: &Tensor) -> Result<Option<Tensor>, EditError> {
        let Some((network, wanted)) = &self.perceptual else { return Ok(None) };
        let seen = network.features(&for_perceptual(drawn)?)?;
        Ok(Some(network.distance_of(&seen, &wanted.select(places)?)?))
    }

    /// Whether [`Target::perceptual`] has an answer.
    pub(super) fn is_perceptual(&self) -> bool {
        self.perceptual.is_some()
    }
}

/// Images at the size at which inversions show them to a perceptual network: at most 256 px, averaged.
pub(super) fn for_perceptual(images: &Tensor) -> Result<Tensor, TchError> {
    let side = images.size()[3];
    if side <= PERCEPTUAL_SIDE {
        return Ok(images.shallow_clone());
    }
    // A generator's sides are 4 times a power of two, so the factor is whole.
    let factor = side / PERCEPTUAL_SIDE;
    images.f_avg_pool2d([factor, factor], [factor, factor], [0, 0], false, true, None::<i64>)
}

/// `L1 + L2` of differences `[rows, 3, R, R]`: `[rows]`.
pub(super) fn pixels(difference: &Tensor) -> Result<Tensor, TchError> {
    per_item(&difference.f_abs()?)?.f_add(&per_item(&difference.f_square()?)?)
}

/// `0.5 (L1 at half size + L1 at quarter size)` of differences `[rows, 3, R, R]`: `[rows]`.
pub(super) fn pyramid(difference: &Tensor) -> Result<Tensor, TchError> {
    let (halvings, weight) = PYRAMID;
    let mut difference = difference.shallow_clone();
    let mut total = Tensor::f_zeros([difference.size()[0]], (difference.f_kind()?, difference.device()))?;
    for _ in 0..halvings {
        // Averaging is linear, so the difference of the averages is the average of the differences.
        difference = difference.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?;
        total = total.f_add(&per_item(&difference.f_abs()?)?.f_multiply_scalar(weight)?)?;
    }
    Ok(total)
}

/// The mean over all but the first dimension.
pub(super) fn per_item(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_flatten(1, -1)?.f_mean_dim([1_i64].as_slice(), false, None)
}

/// Rows as an index tensor.
pub(super) fn places(rows: &[usize], device: Device) -> Result<Tensor, TchError> {
    let places: Vec<_> = rows.iter().map(|&row| row as i64).collect();
    Tensor::f_from_slice(&places)?.f_to_device(device)
}
