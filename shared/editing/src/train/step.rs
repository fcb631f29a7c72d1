//! One step of a training: what it sees, and which way the losses slope there.

use super::TrainState;
use crate::error::EditError;
use crate::guidance::Guidance;
use crate::mapper::{Mapper, Shape};
use crate::perspective::View;
use crate::rng::{RngKey, below};
use crate::schedule::warm_up_then_cosine;
use crate::text::EditText;
use domain::edit::{Schedule, Training};
use tch::{Kind, Tensor};

/// Steps over which the learning rate rises.
const WARM_UP: u32 = 20;

/// What one step sees.
#[derive(Clone, PartialEq, Debug)]
pub struct Sight {
    /// Places of its images in the training set.
    pub rows: Vec<usize>,
    /// The views of each of them.
    pub views: Vec<Vec<View>>,
}

/// The losses at some parameters, and their gradients.
#[derive(Debug)]
pub struct Slope {
    /// The total under the name `loss`, with weights, and every term, without; means over the batch.
    pub losses: Vec<(&'static str, f32)>,
    /// Of the total, one per parameter.
    pub gradients: Vec<Tensor>,
}

impl Sight {
    /// What a training sees at a step, past or to come: `batch` of `count` images, and views of their own for each.
    pub fn draw(guidance: &Guidance<'_>, state: &TrainState, step: u32, batch: u32, count: usize) -> Self {
        let rows = choose(&state.keys().order, step, batch, count);
        let mut rng = state.keys().views.at(u64::from(step));
        let views = rows.iter().map(|_| guidance.views(&mut rng)).collect();
        Self { rows, views }
    }
}

/// The losses and gradients of the mapper with these parameters, on the images of `latents` `[N, L, w_dim]` that a step sees.
/// Where a loss is not finite the gradients are of no use.
///
/// # Errors
/// When shapes do not fit or memory runs out.
pub fn slope(
    guidance: &Guidance<'_>,
    text: &EditText,
    shape: &Shape,
    parameters: &[Tensor],
    latents: &Tensor,
    sight: &Sight,
) -> Result<Slope, EditError> {
    let variables =
        parameters.iter().map(|p| p.f_detach()?.f_set_requires_grad(true)).collect::<Result<Vec<_>, _>>()?;
    let mapper = Mapper::with_text(shape, &variables, &text.mapper_input)?;
    // Safe: rows are below the number of latents.
    let places: Vec<_> = sight.rows.iter().map(|&row| row as i64).collect();
    let start = latents.f_index_select(0, &Tensor::f_from_slice(&places)?.f_to_device(latents.device())?)?;
    let views = guidance.arrange(sight.views.clone());
    let terms = guidance.losses(&sight.rows, &start.f_add(&mapper.change(&start)?)?, &views)?;
    let total = terms.total(guidance.method())?.f_mean(Kind::Float)?;
    let mut losses = vec![("loss", value(&total)?)];
    for (name, term) in terms.named() {
        losses.push((name, value(&term.f_mean(Kind::Float)?)?));
    }
    let gradients = Tensor::f_run_backward(&[&total], &variables, false, false)?;
    Ok(Slope { losses, gradients })
}

/// The learning rate at a step, from 0.
pub fn rate(course: &Training<'_>, step: u32) -> f64 {
    let factor = match course.schedule {
        Schedule::WarmUpCosine => warm_up_then_cosine(step, course.steps, WARM_UP),
        Schedule::Constant => 1.0,
    };
    course.learning_rate * factor
}

fn value(loss: &Tensor) -> Result<f32, EditError> {
    Ok(loss.f_detach()?.f_double_value(&[])? as f32)
}

/// The training latents of a step: `batch` places below `count`, drawn with replacement.
fn choose(key: &RngKey, step: u32, batch: u32, count: usize) -> Vec<usize> {
    let mut rng = key.at(u64::from(step));
    // A training set has at most a million images (the specification's limit), so its size fits.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (0..batch).map(|_| below(&mut rng, count) as usize).collect()
}
