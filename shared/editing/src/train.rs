//! Training a text mapper: long work, done in slices that end in a checkpoint.
//!
//! Minimises the mean over a batch of a method's losses ([`Guidance`]) of `w + d`, `d = 0.1 * M(w, t)`, over the parameters of
//! `M`. Which latents a step sees and how they are viewed depends on the step's number alone, so a checkpoint holds the
//! parameters, the optimiser's state, the loss curves and the number of the next step, and a training that was cut into slices
//! ends with the bytes of one that was not.
//!
//! What the unedited images have to say is computed once per training set ([`SourceSet`]), not per step, slice or text: the
//! published code renders and encodes them, and all sentences, at every step.

mod curve;
mod sources;
mod state;

pub use curve::Curve;
pub use sources::SourceSet;
pub use state::TrainState;

use crate::control::{Control, Directive};
use crate::engine::Engine;
use crate::error::EditError;
use crate::guidance::Guidance;
use crate::mapper::Mapper;
use crate::region::soft_mask;
use crate::rng::{RngKey, below};
use crate::schedule::warm_up_then_cosine;
use crate::text::EditText;
use domain::edit::{Method, RegionSource, Schedule, Training};
use tch::{Kind, Tensor};

/// Steps over which the learning rate rises.
const WARM_UP: u32 = 20;

/// How a slice ended.
#[derive(Debug)]
pub enum Slice {
    /// All steps are taken.
    Done(Mapper),
    /// The control asked to stop; the state is at a step's boundary and can be saved.
    Yielded,
}

/// Trains on `sources` until the last step or until the control yields.
///
/// # Errors
/// When the pack lacks a network, memory runs out, or a loss or the mapper is no longer finite: then the state must not be
/// saved, but [`TrainState::curve`] tells how it came to that, the last step included.
pub fn run_slice(
    engine: &Engine,
    text: &EditText,
    method: &Method,
    sources: &SourceSet,
    state: &mut TrainState,
    control: &mut dyn Control,
) -> Result<Slice, EditError> {
    let course = course(method)?;
    let side = engine.resolution();
    let region = match &method.guards().region {
        // The images a mapper is trained on bring no masks, so it learns without and is composed where it is applied.
        Some(region) if matches!(region.source, RegionSource::Box(_)) => {
            Some(soft_mask(region, None, side, engine.device())?)
        }
        _ => None,
    };
    let known = sources.known(engine, method)?;
    let guidance = Guidance::over(engine, engine, method, text, known, region)?;
    while state.steps() < course.steps {
        let step = state.steps();
        if control.before_step(step, course.steps) == Directive::Yield {
            return Ok(Slice::Yielded);
        }
        take_step(&guidance, text, method, sources.latents(), state)?;
    }
    let mapper = state.mapper(text)?;
    state.check_finite(course.steps.saturating_sub(1))?;
    Ok(Slice::Done(mapper.trained(engine.generator_digest(), state.curve().clone())))
}

fn course(method: &Method) -> Result<Training<'_>, EditError> {
    method.training().ok_or_else(|| EditError::Input {
        what: format!("{} trains no mapper: it optimises every image", method.name()),
    })
}

fn take_step(
    guidance: &Guidance<'_>,
    text: &EditText,
    method: &Method,
    latents: &Tensor,
    state: &mut TrainState,
) -> Result<(), EditError> {
    let course = course(method)?;
    let step = state.steps();
    let rows = choose(&state.keys().order, step, course.batch, latents.size()[0]);
    let mut rng = state.keys().views.at(u64::from(step));
    let views = guidance.arrange(rows.iter().map(|_| guidance.views(&mut rng)).collect());
    let parameters = state.variables()?;
    let mapper = Mapper::with_text(state.shape(), &parameters, &text.mapper_input)?;
    // Safe: rows are below the number of latents.
    let places: Vec<_> = rows.iter().map(|&row| row as i64).collect();
    let start = latents.f_index_select(0, &Tensor::f_from_slice(&places)?.f_to_device(latents.device())?)?;
    let terms = guidance.losses(&rows, &start.f_add(&mapper.change(&start)?)?, &views)?;
    let loss = terms.total(method)?.f_mean(Kind::Float)?;
    let mut noted = vec![("loss", value(&loss)?)];
    for (name, term) in terms.named() {
        noted.push((name, value(&term.f_mean(Kind::Float)?)?));
    }
    state.note(&noted);
    if !noted[0].1.is_finite() {
        return Err(EditError::NonFinite { what: "the training loss", step });
    }
    let gradients = Tensor::f_run_backward(&[&loss], &parameters, false, false)?;
    state.step(&parameters, &gradients, course.learning_rate * rate_factor(&course, step))?;
    Ok(())
}

fn rate_factor(course: &Training<'_>, step: u32) -> f64 {
    match course.schedule {
        Schedule::WarmUpCosine => warm_up_then_cosine(step, course.steps, WARM_UP),
        Schedule::Constant => 1.0,
    }
}

fn value(loss: &Tensor) -> Result<f32, EditError> {
    Ok(loss.f_detach()?.f_double_value(&[])? as f32)
}

/// The training latents of a step: `batch` places below `count`, drawn with replacement.
fn choose(key: &RngKey, step: u32, batch: u32, count: i64) -> Vec<usize> {
    let mut rng = key.at(u64::from(step));
    // A training set has at most a million images (the specification's limit), so its size fits.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (0..batch).map(|_| below(&mut rng, count) as usize).collect()
}
