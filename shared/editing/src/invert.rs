//! Inversion: the W+ latent from which the generator draws an image.

use crate::control::Control;
use crate::descent::{Descended, Plan, descend};
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use crate::schedule::cosine_to_floor;
use domain::inversion::{Inversion, Refinement};
use tch::{TchError, Tensor};

/// Halvings at which images are compared besides the full size, and their weight.
const PYRAMID: (u32, f64) = (2, 0.5);

/// Inverts images `[B, 3, R, R]` in [-1, 1]; `ids` name them for [`Control::is_cancelled`]. Results are in the order of
/// the images, and each depends on its own image alone.
///
/// # Errors
/// When the batch as a whole cannot be computed: no memory, wrong shapes.
pub fn invert(
    engine: &Engine,
    method: &Inversion,
    images: &Tensor,
    ids: &[usize],
    control: &mut dyn Control,
) -> Result<Vec<Result<Descended, Stop>>, EditError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let images = images.f_to_device(engine.device())?;
    let encoded = engine.encode(&images)?;
    let refinement = match method {
        // No steps: descend only checks each item's latent and hands it back.
        Inversion::Encoder {} => &Refinement { steps: 0, learning_rate: 0.0, pull: 0.0 },
        Inversion::Hybrid(refinement) => refinement,
        Inversion::Optimise(_) | Inversion::Pivotal(_) => {
            return Err(EditError::Input { what: format!("inversion by {} is not there yet", method.name()) });
        }
    };
    let rate = |step| refinement.learning_rate * cosine_to_floor(step, refinement.steps);
    let plan = Plan { steps: refinement.steps, rate: &rate, early_stop: None };
    let mut losses = |_step: u32, rows: &[usize], latents: &Tensor| {
        let places: Vec<_> = rows.iter().map(|&row| row as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(engine.device())?;
        let drawn = engine.generator().synthesize(latents)?;
        let fit = misfit(&drawn, &images.f_index_select(0, &places)?)?;
        let pull = per_item(&latents.f_sub(&encoded.f_index_select(0, &places)?)?.f_square()?)?;
        Ok(fit.f_add(&pull.f_multiply_scalar(refinement.pull)?)?)
    };
    descend(&encoded, ids, &plan, &mut losses, control)
}

/// `L1 + L2 + 0.5 (L1 at half size + L1 at quarter size)` per image, `[B]`.
fn misfit(drawn: &Tensor, wanted: &Tensor) -> Result<Tensor, TchError> {
    let mut difference = drawn.f_sub(wanted)?;
    let mut total = per_item(&difference.f_abs()?)?.f_add(&per_item(&difference.f_square()?)?)?;
    let (halvings, weight) = PYRAMID;
    for _ in 0..halvings {
        // Averaging is linear, so the difference of the averages is the average of the differences.
        difference = difference.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>)?;
        total = total.f_add(&per_item(&difference.f_abs()?)?.f_multiply_scalar(weight)?)?;
    }
    Ok(total)
}

/// The mean over all but the first dimension.
fn per_item(values: &Tensor) -> Result<Tensor, TchError> {
    values.f_flatten(1, -1)?.f_mean_dim([1_i64].as_slice(), false, None)
}
