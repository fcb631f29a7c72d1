//! Inversion: the W+ latent from which the generator draws an image, and what else of the generator it takes.
//!
//! One file a method: [`hybrid`] (the encoder, with or without steps on its latent), [`optimise`] (NVIDIA's projector),
//! [`pivotal`] (pivotal tuning with low-rank changes of the weights).

mod fit;
mod hybrid;
pub mod noise;
mod optimise;
mod pivotal;
pub mod quality;

use crate::control::{Control, Directive};
use crate::descent::Begun;
use crate::draw::Own;
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use domain::inversion::Inversion;
use tch::Tensor;

pub use pivotal::Rounding;

/// An inverted image.
#[derive(Debug)]
pub struct Inverted {
    /// The latent `[L, w_dim]`.
    pub latent: Tensor,
    /// Noise and weights found with it, **as its file will hold them** (f16), so that what is drawn now is drawn later.
    pub own: Own,
    /// What the rounding of the weights' change cost, where there is one.
    pub rounding: Option<Rounding>,
    /// The loss before each step; a pivotal inversion's tuning follows its pivot's refinement.
    pub loss: Vec<f64>,
    /// Steps taken.
    pub steps: u32,
}

/// Inverts images `[B, 3, R, R]` in [-1, 1]; `ids` name them for [`Control::is_cancelled`]. Results are in the order of
/// the images, and each depends on its own image alone. Images with a checkpoint in `begun` (empty: none) go on from there.
///
/// # Errors
/// When the pack lacks what the method compares images by, or the batch as a whole cannot be computed: no memory, wrong
/// shapes.
pub fn invert(
    engine: &Engine,
    method: &Inversion,
    images: &Tensor,
    ids: &[usize],
    begun: Begun<'_>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Inverted, Stop>>, EditError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let images = images.f_to_device(engine.device())?;
    match method {
        Inversion::Encoder {} => hybrid::encode(engine, &images, ids, control),
        Inversion::Hybrid(refinement) => hybrid::refine(engine, refinement, &images, ids, begun, control),
        Inversion::Optimise(projection) => optimise::project(engine, projection, &images, ids, begun, control),
        Inversion::Pivotal(tuning) => pivotal::tune(engine, tuning, &images, ids, begun, control),
    }
}

/// A stretch of a longer course: passes questions on with the course's own count of steps.
struct Stretch<'a> {
    control: &'a mut dyn Control,
    /// Steps before this stretch.
    before: u32,
    /// Steps of the whole course.
    steps: u32,
}

impl Control for Stretch<'_> {
    fn before_step(&mut self, step: u32, _: u32) -> Directive {
        self.control.before_step(self.before + step, self.steps)
    }

    fn is_cancelled(&mut self, id: usize) -> bool {
        self.control.is_cancelled(id)
    }
}
