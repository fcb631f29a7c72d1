//! Training images to a text mapper, a slice at a time.

use super::ended::{Ended, with_causes};
use crate::watch::Watch;
use domain::edit::{CfMapper, EditSpec, Method};
use domain::{Digest, Stage};
use editing::batch::{MemoryModel, run_in_parts};
use editing::train::{Slice, TrainState, run_slice};
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
}

/// Encodes some training images to latents, `n_latent * w_dim` numbers an image, in as large parts as memory takes.
///
/// # Errors
/// When the encoder fails on an image.
pub fn encode_part(engine: &Engine, memory: &mut MemoryModel, rasters: &[Vec<u8>]) -> Result<Vec<Vec<f32>>, Ended> {
    let count = rasters.len();
    let encoded = run_in_parts(memory, Stage::Invert, engine.resolution(), count, count, |part| {
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

/// Trains for one slice.
///
/// # Errors
/// When memory runs out, the loss is not finite, or the text is too long. Nothing of the slice is kept then.
pub fn compute(engine: &Engine, training: &Training, watch: &mut Watch) -> Result<Trained, Ended> {
    let Method::CfMapper(method) = &training.edit.method else {
        return Err(Ended::internal("only cf-mapper is trained; this edit has another method"));
    };
    let identity = training.edit.identity().map_err(Ended::internal)?;
    let text = EditText::encode(engine, &training.edit.text, &training.edit.neutral)?;
    let mut state = begin(engine, &text, method, &identity, training)?;
    let first = state.steps();
    let latents = read_latents(engine, &training.latents)?;
    match run_slice(engine, &text, method, &latents, &mut state, watch)? {
        Slice::Done(mapper) => {
            let loss = state.losses().last().copied();
            tracing::info!(text = training.edit.text, from = first, to = state.steps(), loss, "a mapper is trained");
            Ok(Trained::Done(mapper.to_bytes()?))
        }
        Slice::Yielded => {
            // Safe: a ratio of counts.
            let done = f64::from(state.steps()) / f64::from(method.steps.max(1));
            Ok(Trained::Yielded(state.to_bytes()?, done as f32))
        }
    }
}

fn begin(
    engine: &Engine,
    text: &EditText,
    method: &CfMapper,
    identity: &Digest,
    training: &Training,
) -> Result<TrainState, EditError> {
    if let Some(checkpoint) = &training.checkpoint {
        match TrainState::resume(checkpoint, engine, text, method, identity, &training.set) {
            Ok(state) => return Ok(state),
            // It can only be from another version: time is lost, and nothing else.
            Err(error) => {
                tracing::warn!(error = with_causes(&error), "a checkpoint cannot be continued; starting again")
            }
        }
    }
    TrainState::start(engine, text, method, identity, &training.set)
}

fn read_latents(engine: &Engine, bytes: &[u8]) -> Result<tch::Tensor, Ended> {
    let (_, header) = safetensors::SafeTensors::read_metadata(bytes).map_err(Ended::internal)?;
    let count = header.info("w_plus").map_or(0, |info| info.shape.first().copied().unwrap_or(0));
    let (mut tensors, _) = artifact::from_bytes("training latents", bytes, engine.device())?;
    // Safe to narrow: a number of images.
    let shape = [count as i64, engine.n_latent(), engine.w_dim()];
    tensors.take("w_plus", &shape).map_err(|e| EditError::from(e).into())
}
