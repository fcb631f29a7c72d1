//! A training between two steps, and its checkpoint.

use super::{Curve, course};
use crate::artifact;
use crate::engine::Engine;
use crate::error::EditError;
use crate::mapper::{Mapper, Shape};
use crate::optimiser::Optimiser;
use crate::rng::RngKey;
use crate::text::EditText;
use domain::Digest;
use domain::edit::Method;
use serde::{Deserialize, Serialize};
use tch::Tensor;

const WHAT: &str = "checkpoint";
const FORMAT: &str = "checkpoint/2";
const CURVE: &str = "curve.";

/// A training between two steps.
#[derive(Debug)]
pub struct TrainState {
    shape: Shape,
    keys: Keys,
    parameters: Vec<Tensor>,
    optimiser: Optimiser,
    curve: Curve,
}

/// The keys of the random numbers of one training.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub order: RngKey,
    pub views: RngKey,
    /// Names the training in its checkpoints.
    training: Digest,
}

/// What a checkpoint says besides its tensors. The number of steps is also the data cursor and the state of the random numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    format: String,
    training: Digest,
    steps: u32,
    curve: Vec<String>,
}

impl TrainState {
    /// A training before its first step. `edit` is the digest of the edit's specification and `set` that of the training
    /// set: with the method's seed they decide every random number.
    ///
    /// # Errors
    /// When the method trains no mapper, or libtorch fails.
    pub fn start(
        engine: &Engine,
        text: &EditText,
        method: &Method,
        edit: &Digest,
        set: &Digest,
    ) -> Result<Self, EditError> {
        let (shape, keys) = (Shape::of(engine, method, text)?, Keys::of(method, edit, set)?);
        let course = course(method)?;
        let parameters = shape.initial(&RngKey::new("mapper/initial", set, edit, course.seed), engine.device())?;
        let optimiser = Optimiser::new(course.optimiser, &parameters)?;
        Ok(Self { shape, keys, parameters, optimiser, curve: Curve::default() })
    }

    /// The training that a checkpoint holds.
    ///
    /// # Errors
    /// When the checkpoint is damaged or of another version, or belongs to another edit, training set or seed.
    pub fn resume(
        bytes: &[u8],
        engine: &Engine,
        text: &EditText,
        method: &Method,
        edit: &Digest,
        set: &Digest,
    ) -> Result<Self, EditError> {
        let (shape, keys) = (Shape::of(engine, method, text)?, Keys::of(method, edit, set)?);
        let (mut tensors, note) = artifact::from_bytes(WHAT, bytes, engine.device())?;
        let note = read_note(note)?;
        if note.training != keys.training {
            return Err(refused("it belongs to another edit, training set or seed"));
        }
        let parameters = shape.take(&mut tensors, "parameter.")?;
        let optimiser = Optimiser::restore(course(method)?.optimiser, note.steps, |list| {
            shape.take(&mut tensors, &format!("{list}."))
        })?;
        let curve = Curve::take(&mut tensors, CURVE, note.curve)?;
        tensors.finish()?;
        if curve.len() as u64 != u64::from(note.steps) {
            return Err(refused("its loss curve has another length than its training"));
        }
        Ok(Self { shape, keys, parameters, optimiser, curve })
    }

    /// The checkpoint: safetensors with the parameters, the optimiser's state, the losses so far, and a note.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EditError> {
        let names: Vec<_> = self.shape.parameters().into_iter().map(|(name, _)| name).collect();
        let curve: Vec<_> =
            self.curve.tensors()?.into_iter().map(|(name, tensor)| (format!("{CURVE}{name}"), tensor)).collect();
        let mut tensors: Vec<_> = curve.iter().map(|(name, tensor)| (name.clone(), tensor)).collect();
        let lists = std::iter::once(("parameter", self.parameters.as_slice())).chain(self.optimiser.state());
        for (prefix, list) in lists {
            tensors.extend(names.iter().map(|name| format!("{prefix}.{name}")).zip(list));
        }
        let note = Note {
            format: FORMAT.to_owned(),
            training: self.keys.training,
            steps: self.steps(),
            curve: self.curve.terms().iter().map(|(name, _)| name.clone()).collect(),
        };
        let note = serde_json::to_string(&note).map_err(|e| EditError::Checkpoint { reason: e.to_string() })?;
        artifact::to_bytes(WHAT, &tensors, Some(note))
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.optimiser.steps()
    }

    /// The losses of every step so far.
    pub fn curve(&self) -> &Curve {
        &self.curve
    }

    /// The mapper as it is now.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn mapper(&self, text: &EditText) -> Result<Mapper, EditError> {
        tch::no_grad(|| Mapper::with_text(&self.shape, &self.parameters, &text.mapper_input))
    }

    /// The parameters as they are now, in the order of [`Shape::parameters`].
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn note(&mut self, losses: &[(&'static str, f32)]) {
        self.curve.push(losses);
    }

    pub(super) fn descend(&mut self, gradients: &[Tensor], rate: f64) -> Result<(), EditError> {
        self.parameters = self.optimiser.step(&self.parameters, gradients, rate)?;
        Ok(())
    }

    /// Refuses parameters that the last step made infinite: no loss has seen them yet.
    pub(super) fn check_finite(&self, step: u32) -> Result<(), EditError> {
        for parameter in &self.parameters {
            if parameter.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Err(EditError::NonFinite { what: "the mapper", step });
            }
        }
        Ok(())
    }
}

impl Keys {
    fn of(method: &Method, edit: &Digest, set: &Digest) -> Result<Self, EditError> {
        let seed = course(method)?.seed;
        let key = |purpose| RngKey::new(purpose, set, edit, seed);
        let named = [set.as_bytes().as_slice(), edit.as_bytes(), &seed.to_le_bytes()].concat();
        Ok(Self { order: key("mapper/order"), views: key("mapper/views"), training: Digest::of(named) })
    }
}

fn refused(reason: impl Into<String>) -> EditError {
    EditError::Checkpoint { reason: reason.into() }
}

fn read_note(note: Option<String>) -> Result<Note, EditError> {
    let note = note.ok_or_else(|| refused("it has no note of what it belongs to"))?;
    let fields: serde_json::Value = serde_json::from_str(&note).map_err(|_| refused("its note is damaged"))?;
    let format = fields.get("format").and_then(serde_json::Value::as_str).unwrap_or_default();
    if format != FORMAT {
        return Err(refused(format!("it is of the version '{format}', and this program reads '{FORMAT}'")));
    }
    serde_json::from_value(fields).map_err(|_| refused("its note is damaged"))
}
