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
mod step;

pub use curve::Curve;
pub use sources::SourceSet;
pub use state::TrainState;
pub use step::{Sight, Slope, rate, slope};

use crate::control::{Control, Directive};
use crate::engine::Engine;
use crate::error::EditError;
use crate::guidance::Guidance;
use crate::mapper::Mapper;
use crate::region::soft_mask;
use crate::text::EditText;
use domain::edit::{Method, RegionSource, Training};

/// How a slice ended.
#[derive(Debug)]
pub enum Slice {
    /// All steps are taken.
    Done(Box<Mapper>),
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
        let sight = Sight::draw(&guidance, state, step, course.batch, sources.len());
        let slope = slope(&guidance, text, state.shape(), state.parameters(), sources.latents(), &sight)?;
        state.note(&slope.losses);
        // Before the step: what is not finite would spoil the parameters.
        if slope.losses.iter().any(|(_, value)| !value.is_finite()) {
            return Err(EditError::NonFinite { what: "the training loss", step });
        }
        state.descend(&slope.gradients, rate(&course, step))?;
    }
    let mapper = state.mapper(text)?;
    state.check_finite(course.steps.saturating_sub(1))?;
    Ok(Slice::Done(Box::new(mapper.trained(engine.generator_digest(), state.curve().clone()))))
}

fn course(method: &Method) -> Result<Training<'_>, EditError> {
    method.training().ok_or_else(|| EditError::Input {
        what: format!("{} trains no mapper: it optimises every image", method.name()),
    })
}
