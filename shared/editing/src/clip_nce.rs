//! `clip-nce`: the contrastive loss, optimised per image on its W+ latent, a micro-batch at a time.
//!
//! Minimises, per item, `NCE(views of G(w')) + latent_l2 * mean((w' - w)^2)` over `w'`, from `w' = w`, with Adam.

use crate::control::Control;
use crate::descent::{Descended, Plan, descend};
use crate::engine::Engine;
use crate::error::{EditError, Stop};
use crate::nce::{self, Anchors};
use crate::perspective::View;
use crate::rng::RngKey;
use crate::schedule::warm_up_then_cosine;
use crate::text::EditText;
use domain::edit::ClipNce;
use tch::Tensor;

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
}

/// Edits every item; results are in the order of `items`, and a result depends on its own item alone (up to the rounding
/// of libtorch's kernels, which differs between batch sizes).
///
/// # Errors
/// When the batch as a whole cannot be computed: no memory, wrong shapes.
pub fn edit(
    engine: &Engine,
    text: &EditText,
    method: &ClipNce,
    items: &[Item<'_>],
    control: &mut dyn Control,
) -> Result<Vec<Result<Descended, Stop>>, EditError> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let latents: Vec<_> = items.iter().map(|item| item.latent).collect();
    let start = Tensor::f_stack(&latents, 0)?.f_to_device(engine.device())?;
    let anchors = Anchors::new(text, &engine.guide_features(&engine.render(&start)?)?)?;
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    let rate = |step| method.learning_rate * warm_up_then_cosine(step, method.steps, WARM_UP);
    let plan = Plan { steps: method.steps, rate: &rate, early_stop: method.early_stop.as_ref() };
    let mut losses = |step: u32, rows: &[usize], latents: &Tensor| {
        let views: Vec<_> = rows.iter().flat_map(|&row| draw(engine, method, &items[row].key, step)).collect();
        let places: Vec<_> = rows.iter().map(|&row| row as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(engine.device())?;
        let seen = engine.perspective().apply(&engine.generator().synthesize(latents)?, &views, method.loss.outside)?;
        let features =
            engine.guide_features(&seen)?.f_reshape([rows.len() as i64, i64::from(method.loss.views), -1])?;
        let contrast = nce::loss(&anchors.rows(&places)?, &features, &method.loss)?;
        let change = latents.f_sub(&start.f_index_select(0, &places)?)?.f_square()?;
        let change = change.f_mean_dim([1_i64, 2].as_slice(), false, None)?;
        Ok(contrast.f_add(&change.f_multiply_scalar(method.latent_l2)?)?)
    };
    descend(&start, &ids, &plan, &mut losses, control)
}

/// The views of one item at one step.
fn draw(engine: &Engine, method: &ClipNce, key: &RngKey, step: u32) -> Vec<View> {
    let mut rng = key.at(u64::from(step));
    // Safe to narrow: a side in pixels.
    let side = engine.resolution() as u32;
    (0..method.loss.views).map(|_| View::random(side, method.loss.distortion, &mut rng)).collect()
}
