//! The per-image form: each image's W+ latent goes down its own loss, a micro-batch at a time, with Adam from `w' = w`.
//!
//! `clip-nce`, `styleclip` and `directional` differ in their [`objective`](crate::objective) alone.

use crate::control::Control;
use crate::descent::{Checkpoint, Descended, Plan, descend};
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use crate::guidance::{Draw, Guidance};
use crate::rng::RngKey;
use crate::schedule::warm_up_then_cosine;
use crate::text::EditText;
use domain::edit::{Descent as Course, Method};
use std::rc::Rc;
use tch::{Kind, Tensor};

/// Steps over which the learning rate rises.
const WARM_UP: u32 = 5;

/// One image to edit.
#[derive(Debug)]
pub struct Item<'a> {
    /// The caller's name of it, for [`Control::is_cancelled`].
    pub id: usize,
    /// Its inverted latent, `[L, w_dim]`.
    pub latent: &'a Tensor,
    /// The key of its random views.
    pub key: RngKey,
    /// Where it goes on, if it was begun before.
    pub begun: Option<Rc<Checkpoint>>,
}

/// Edits every item; results are in the order of `items`, and a result depends on its own item alone (up to the rounding
/// of libtorch's kernels, which differs between batch sizes), unless the numeric mode couples the batch. `regions` are soft
/// masks `[items or 1, 1, R, R]`.
///
/// # Errors
/// When the method has no per-image form, needs a network that the pack lacks, or the batch as a whole cannot be computed:
/// no memory, wrong shapes.
pub fn edit(
    engine: &Engine,
    draw: &dyn Draw,
    text: &EditText,
    method: &Method,
    items: &[Item<'_>],
    regions: Option<Tensor>,
    control: &mut dyn Control,
) -> Result<Vec<Result<Descended, Stop>>, EditError> {
    let Some(course) = method.descent() else {
        return Err(EditError::Input {
            what: format!("{} edits through a trained mapper, not per image", method.name()),
        });
    };
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let latents: Vec<_> = items.iter().map(|item| item.latent).collect();
    let start = Tensor::f_stack(&latents, 0)?.f_to_device(engine.device())?;
    let guidance = Guidance::new(engine, draw, method, text, &start, regions)?;
    let open = open_layers(engine, method.guards().layers)?;
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    let rate = |step| rate(&course, step);
    let plan = Plan { steps: course.steps, rate: &rate, early_stop: course.early_stop };
    let mut losses = |step: u32, rows: &[usize], latents: &Tensor| {
        let views = rows.iter().map(|&row| guidance.views(&mut items[row].key.at(u64::from(step)))).collect();
        // A closed layer gets no gradient, so Adam leaves it where it was.
        let latents = match &open {
            Some(open) => latents.f_mul(open)?.f_add(&latents.f_detach()?.f_mul(&open.f_neg()?.f_add_scalar(1.0)?)?)?,
            None => latents.shallow_clone(),
        };
        Ok(guidance.losses(rows, &latents, &guidance.arrange(views))?.total(method)?)
    };
    let begun: Vec<_> = items.iter().map(|item| item.begun.clone()).collect();
    descend(&start, &ids, &begun, &plan, &mut losses, control)
}

/// The learning rate at a step, from 0.
pub fn rate(course: &Course<'_>, step: u32) -> f64 {
    course.learning_rate * warm_up_then_cosine(step, course.steps, WARM_UP)
}

/// 1 for the layers of W+ that may change and 0 for the others, `[1, L, 1]`; none if all may.
///
/// # Errors
/// When the range goes beyond the generator's layers.
pub(crate) fn open_layers(engine: &Engine, layers: Option<[u32; 2]>) -> Result<Option<Tensor>, EditError> {
    let Some([first, last]) = layers else { return Ok(None) };
    let count = engine.n_latent();
    if i64::from(last) >= count {
        let what = format!("layers {first} to {last} may change, and the generator has only 0 to {}", count - 1);
        return Err(EditError::Input { what });
    }
    let open = Tensor::f_zeros([1, count, 1], (Kind::Float, engine.device()))?;
    let _ = open.f_narrow(1, i64::from(first), i64::from(last - first + 1))?.f_fill_(1.0)?;
    Ok(Some(open))
}
