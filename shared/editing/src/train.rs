//! Training a text mapper: long work, done in slices that end in a checkpoint.
//!
//! Minimises the mean over a batch of `NCE(views of G(w + d)) + latent_l2 * mean(d^2)`, `d = 0.1 * M(w, t)`, with Adam.
//! Which latents a step sees and how they are viewed depends on the step's number alone, so a checkpoint holds the
//! parameters, Adam's moments, the loss curve and the number of the next step, and a training that was cut into slices
//! ends with the bytes of one that was not.

use crate::adam::{Adam, clip_length};
use crate::artifact;
use crate::control::{Control, Directive};
use crate::engine::Engine;
use crate::error::EditError;
use crate::mapper::{Mapper, Shape};
use crate::nce::{self, Anchors};
use crate::perspective::View;
use crate::rng::{RngKey, below};
use crate::schedule::warm_up_then_cosine;
use crate::text::EditText;
use domain::Digest;
use domain::edit::CfMapper;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Steps over which the learning rate rises.
const WARM_UP: u32 = 20;
/// Longest gradient, over all parameters together.
const GRADIENT_LIMIT: f64 = 1.0;
const WHAT: &str = "checkpoint";

/// A training between two steps.
#[derive(Debug)]
pub struct TrainState {
    shape: Shape,
    keys: Keys,
    parameters: Vec<Tensor>,
    adam: Adam,
    losses: Vec<f32>,
}

/// The keys of the random numbers of one training.
#[derive(Clone, Copy, Debug)]
struct Keys {
    order: RngKey,
    views: RngKey,
    /// Names the training in its checkpoints.
    training: Digest,
}

/// What a checkpoint says besides its tensors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    format: String,
    training: Digest,
    steps: u32,
}

/// How a slice ended.
#[derive(Debug)]
pub enum Slice {
    /// All steps are taken.
    Done(Mapper),
    /// The control asked to stop; the state is at a step's boundary and can be saved.
    Yielded,
}

impl TrainState {
    /// A training before its first step. `edit` is the digest of the edit's specification and `set` that of the training
    /// set: with the method's seed they decide every random number.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn start(
        engine: &Engine,
        text: &EditText,
        method: &CfMapper,
        edit: &Digest,
        set: &Digest,
    ) -> Result<Self, EditError> {
        let (shape, keys) = identity(engine, text, method, edit, set);
        let parameters = shape.initial(&RngKey::new("mapper/initial", set, edit, method.seed), engine.device())?;
        Ok(Self { shape, keys, adam: Adam::new(&parameters)?, parameters, losses: Vec::new() })
    }

    /// The training that a checkpoint holds.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or belongs to another edit, training set or seed.
    pub fn resume(
        bytes: &[u8],
        engine: &Engine,
        text: &EditText,
        method: &CfMapper,
        edit: &Digest,
        set: &Digest,
    ) -> Result<Self, EditError> {
        let (shape, keys) = identity(engine, text, method, edit, set);
        let refused = |reason: &str| EditError::Checkpoint { reason: reason.to_owned() };
        let (mut tensors, note) = artifact::from_bytes(WHAT, bytes, engine.device())?;
        let note: Note = note
            .and_then(|note| serde_json::from_str(&note).ok())
            .ok_or_else(|| refused("it has no note of what it belongs to"))?;
        if note.format != WHAT || note.training != keys.training {
            return Err(refused("it belongs to another edit, training set or seed"));
        }
        let mut list = |prefix| shape.take(&mut tensors, prefix);
        let (parameters, first, second) = (list("parameter.")?, list("first.")?, list("second.")?);
        let losses = tensors.take("losses", &[i64::from(note.steps)])?;
        tensors.finish()?;
        let adam = Adam { first, second, steps: note.steps };
        Ok(Self { shape, keys, parameters, adam, losses: Vec::try_from(losses.f_to_device(tch::Device::Cpu)?)? })
    }

    /// The checkpoint: safetensors with the parameters, both moments, the losses so far, and a note.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EditError> {
        let losses = Tensor::f_from_slice(&self.losses)?;
        let mut tensors = vec![("losses".to_owned(), &losses)];
        for (prefix, list) in
            [("parameter", &self.parameters), ("first", &self.adam.first), ("second", &self.adam.second)]
        {
            let names = self.shape.parameters().into_iter().map(|(name, _)| format!("{prefix}.{name}"));
            tensors.extend(names.zip(list));
        }
        let note = Note { format: WHAT.to_owned(), training: self.keys.training, steps: self.adam.steps };
        let note = serde_json::to_string(&note).map_err(|e| EditError::Checkpoint { reason: e.to_string() })?;
        artifact::to_bytes(WHAT, &tensors, Some(note))
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.adam.steps
    }

    /// The loss of every step so far.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// The mapper as it is now.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn mapper(&self, text: &EditText) -> Result<Mapper, EditError> {
        tch::no_grad(|| Mapper::with_text(&self.shape, &self.parameters, &text.mapper_input))
    }
}

fn identity(engine: &Engine, text: &EditText, method: &CfMapper, edit: &Digest, set: &Digest) -> (Shape, Keys) {
    let shape = Shape {
        n_latent: engine.n_latent(),
        w_dim: engine.w_dim(),
        text_dim: text.mapper_input.size()[0],
        // Safe to widen: a depth is at most 16.
        depth: method.depth as usize,
    };
    let key = |purpose| RngKey::new(purpose, set, edit, method.seed);
    let named = [set.as_bytes().as_slice(), edit.as_bytes(), &method.seed.to_le_bytes()].concat();
    (shape, Keys { order: key("mapper/order"), views: key("mapper/views"), training: Digest::of(named) })
}

/// Trains on `latents` `[N, L, w_dim]` until the last step or until the control yields. The unedited images and their
/// features are computed afresh at the start of every slice: seconds, against the minutes of a slice.
///
/// # Errors
/// When memory runs out, or the loss is no longer finite: then the state is spoilt and must not be saved.
pub fn run_slice(
    engine: &Engine,
    text: &EditText,
    method: &CfMapper,
    latents: &Tensor,
    state: &mut TrainState,
    control: &mut dyn Control,
) -> Result<Slice, EditError> {
    let expected = [engine.n_latent(), engine.w_dim()];
    if latents.size().len() != 3 || latents.size()[1..] != expected || latents.size()[0] == 0 {
        let what =
            format!("training latents have shape {:?}, expected [N, {}, {}]", latents.size(), expected[0], expected[1]);
        return Err(EditError::Input { what });
    }
    let latents = latents.f_to_device(engine.device())?;
    let features = engine.rendered_features(&latents)?;
    while state.steps() < method.steps {
        let step = state.steps();
        if control.before_step(step, method.steps) == Directive::Yield {
            return Ok(Slice::Yielded);
        }
        let loss = take_step(engine, text, method, [&latents, &features], state)?;
        if !loss.is_finite() {
            return Err(EditError::NonFinite { what: "the training loss", step });
        }
        state.losses.push(loss);
    }
    Ok(Slice::Done(state.mapper(text)?))
}

fn take_step(
    engine: &Engine,
    text: &EditText,
    method: &CfMapper,
    [latents, source_features]: [&Tensor; 2],
    state: &mut TrainState,
) -> Result<f32, EditError> {
    let step = state.steps();
    let chosen = choose(&state.keys.order, step, method.batch, latents.size()[0]);
    let chosen = Tensor::f_from_slice(&chosen)?.f_to_device(engine.device())?;
    // Safe to narrow: a side in pixels.
    let side = engine.resolution() as u32;
    let mut rng = state.keys.views.at(u64::from(step));
    let count = method.batch * method.views.views;
    let views: Vec<_> = (0..count).map(|_| View::random(side, method.views.distortion, &mut rng)).collect();

    let parameters =
        state.parameters.iter().map(|p| p.f_detach()?.f_set_requires_grad(true)).collect::<Result<Vec<_>, _>>()?;
    let mapper = Mapper::with_text(&state.shape, &parameters, &text.mapper_input)?;
    let start = latents.f_index_select(0, &chosen)?;
    let change = mapper.change(&start)?;
    let images = engine.generator().synthesize(&start.f_add(&change)?)?;
    let features = engine.guide_features(&engine.perspective().apply(&images, &views, method.views.outside)?)?;
    let features = features.f_reshape([i64::from(method.batch), i64::from(method.views.views), -1])?;
    let anchors = Anchors::new(text, &source_features.f_index_select(0, &chosen)?)?;
    let contrast = nce::loss(&anchors, &features, &method.loss)?.f_mean(None)?;
    let loss = contrast.f_add(&change.f_square()?.f_mean(None)?.f_multiply_scalar(method.latent_l2)?)?;

    let gradients = Tensor::f_run_backward(&[&loss], &parameters, false, false)?;
    let gradients = clip_length(&gradients, GRADIENT_LIMIT)?;
    let rate = method.learning_rate.unwrap_or(2e-3) * warm_up_then_cosine(step, method.steps, WARM_UP);
    state.parameters = state.adam.step(&parameters, &gradients, rate)?;
    Ok(loss.f_detach()?.f_to_kind(Kind::Float)?.f_double_value(&[])? as f32)
}

/// The training latents of a step: `batch` indices below `count`, drawn with replacement.
fn choose(key: &RngKey, step: u32, batch: u32, count: i64) -> Vec<i64> {
    let mut rng = key.at(u64::from(step));
    // A training set has at most a million images (the specification's limit), so its size fits.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    (0..batch).map(|_| i64::from(below(&mut rng, count))).collect()
}
