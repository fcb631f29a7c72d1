//! `encoder` and `hybrid`: one pass of the pack's encoder, then gradient steps on its latent.

use super::Inverted;
use super::fit::{Target, per_item, pixels, places, pyramid};
use crate::control::Control;
use crate::descent::{Begun, Descended, Plan, descend};
use crate::draw::Own;
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use crate::schedule::cosine_to_floor;
use domain::inversion::Refinement;
use tch::Tensor;

/// The encoder's own latents.
pub(super) fn encode(
    engine: &Engine,
    images: &Tensor,
    ids: &[usize],
    control: &mut dyn Control,
) -> Result<Vec<Result<Inverted, Stop>>, EditError> {
    // No steps: the descent only checks each item's latent and hands it back.
    refine(engine, &Refinement { steps: 0, learning_rate: 0.0, pull: 0.0 }, images, ids, &[], control)
}

/// The encoder's latents, moved towards the images by Adam.
pub(super) fn refine(
    engine: &Engine,
    refinement: &Refinement,
    images: &Tensor,
    ids: &[usize],
    begun: Begun<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Inverted, Stop>>, EditError> {
    let encoded = engine.encode(images)?;
    let target = Target::of_pixels(images);
    let rate = |step| refinement.learning_rate * cosine_to_floor(step, refinement.steps);
    let plan = Plan { steps: refinement.steps, rate: &rate, early_stop: None };
    let mut losses = |_step: u32, rows: &[usize], latents: &Tensor| {
        let places = places(rows, engine.device())?;
        let difference = target.difference(&engine.generator().synthesize(latents)?, &places)?;
        let fit = pixels(&difference)?.f_add(&pyramid(&difference)?)?;
        let pull = per_item(&latents.f_sub(&encoded.f_index_select(0, &places)?)?.f_square()?)?;
        Ok(fit.f_add(&pull.f_multiply_scalar(refinement.pull)?)?)
    };
    let ends = descend(&encoded, ids, begun, &plan, &mut losses, control)?;
    Ok(ends.into_iter().map(|end| end.map(latent_alone)).collect())
}

fn latent_alone(end: Descended) -> Inverted {
    Inverted { latent: end.latent, own: Own::default(), rounding: None, loss: end.loss, steps: end.steps }
}
