//! Training images to a text mapper, a slice at a time.

use super::ended::{Ended, with_causes};
use crate::watch::Watch;
use domain::edit::EditSpec;
use domain::{Digest, Stage};
use editing::batch::{Load, MemoryModel, run_in_parts};
use editing::train::{Slice, SourceSet, TrainState, run_slice};
use editing::{EditError, EditText, Engine, artifact, raster};

/// A mapper's training as the tensor thread gets it.
#[derive(Clone, Debug)]
pub struct Training {
    /// The edit.
    pub edit: EditSpec,
    /// Digest of the list of training images.
    pub set: Digest,
    /// Their latents: safetensors, `w_plus [N, n_latent, w_dim]`.
    pub latents: Vec<u8>,
    /// Where the slice before stopped.
    pub checkpoint: Option<Vec<u8>>,
}

/// How a slice ended.
#[derive(Clone, Debug)]
pub enum Trained {
    /// The mapper's file.
    Done(Vec<u8>),
    /// Stopped at a checkpoint: its file, and the part done.
    Yielded(Vec<u8>, f32),
    /// A loss or the mapper is no longer finite. Nothing of the training is of use but what went wrong.
    Diverged {
        /// The failure.
        failure: Ended,
        /// The losses of every step, as JSON ([`Curve::to_json`](editing::train::Curve::to_json)).
        curve: Vec<u8>,
    },
}

/// Encodes some training images to latents, `n_latent * w_dim` numbers an image, in as large parts as memory takes.
///
/// # Errors
/// When the encoder fails on an image.
pub fn encode_part(engine: &Engine, memory: &mut MemoryModel, rasters: &[Vec<u8>]) -> Result<Vec<Vec<f32>>, Ended> {
    let count = rasters.len();
    let load = Load::images(Stage::Invert, engine.resolution());
    let encoded = run_in_parts(memory, &load, count, count, |part| {
        let images = raster::from_rgb8(&rasters[part.clone()], engine.resolution(), engine.device())?;
        let latents = engine.encode(&images)?.f_to_device(tch::Device::Cpu)?;
        let one = |i| Ok(Ok(Vec::try_from(latents.f_get(i)?.f_reshape([-1])?)?));
        (0..part.len() as i64).map(one).collect::<Result<_, EditError>>()
    });
    encoded.into_iter().map(|latent| latent.map_err(Ended::from)).collect()
}

/// The latents' file.
///
/// # Errors
/// When an image has another number of values.
pub fn join_parts(latents: &[Vec<f32>], n_latent: usize) -> Result<Vec<u8>, Ended> {
    let bytes: Vec<u8> = latents.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let w_dim = latents.first().map_or(0, Vec::len) / n_latent.max(1);
    let shape = vec![latents.len(), n_latent, w_dim];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes).map_err(Ended::internal)?;
    safetensors::serialize([("w_plus", view)], None).map_err(Ended::internal)
}

/// Trains for one slice. `kept` is the last training set and what is known of its images; it is replaced if this training has
/// another, so that texts that follow each other share one pass over their images.
///
/// # Errors
/// When memory runs out, the pack lacks a network, or the text cannot be used. Nothing of the slice is kept then.
pub fn compute(
    engine: &Engine,
    kept: &mut Option<SourceSet>,
    training: &Training,
    watch: &mut Watch,
) -> Result<Trained, Ended> {
    let edit = &training.edit;
    let Some(course) = edit.method.training() else {
        return Err(Ended::internal(format!("{} trains no mapper", edit.method.name())));
    };
    let text = EditText::encode(engine, &edit.text, &edit.neutral, edit.method.numerics())?;
    let mut state = begin(engine, &text, training)?;
    let first = state.steps();
    let sources = match kept.take().filter(|set| set.is(engine, &training.set)) {
        Some(same) => same,
        None => SourceSet::new(engine, training.set, &read_latents(engine, &training.latents)?)?,
    };
    let slice = run_slice(engine, &text, &edit.method, &sources, &mut state, watch);
    *kept = Some(sources);
    match slice {
        Ok(Slice::Done(mapper)) => {
            let loss = state.curve().of("loss").last().copied();
            tracing::info!(text = edit.text, from = first, to = state.steps(), loss, "a mapper is trained");
            Ok(Trained::Done(mapper.to_bytes()?))
        }
        Ok(Slice::Yielded) => {
            let done = f64::from(state.steps()) / f64::from(course.steps.max(1));
            Ok(Trained::Yielded(state.to_bytes()?, done as f32))
        }
        Err(error @ EditError::NonFinite { .. }) => {
            Ok(Trained::Diverged { failure: error.into(), curve: state.curve().to_json() })
        }
        Err(error) => Err(error.into()),
    }
}

fn begin(engine: &Engine, text: &EditText, training: &Training) -> Result<TrainState, Ended> {
    let (edit, set) = (&training.edit, &training.set);
    let identity = edit.mapper_identity().map_err(Ended::internal)?;
    if let Some(checkpoint) = &training.checkpoint {
        match TrainState::resume(checkpoint, engine, text, &edit.method, &identity, set) {
            Ok(state) => return Ok(state),
            // It can only be from another version: time is lost, and nothing else.
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "a checkpoint cannot be continued; starting again")
            }
        }
    }
    Ok(TrainState::start(engine, text, &edit.method, &identity, set)?)
}

fn read_latents(engine: &Engine, bytes: &[u8]) -> Result<tch::Tensor, Ended> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).map_err(Ended::internal)?;
    let count = header.info("w_plus").map_or(0, |info| info.shape.first().copied().unwrap_or(0));
    let (mut tensors, _) = artifact::from_bytes("training latents", bytes, engine.device())?;
    // Safe to narrow: a number of images.
    let shape = [count as i64, engine.n_latent(), engine.w_dim()];
    tensors.take("w_plus", &shape).map_err(|e| EditError::from(e).into())
}
