//! One method on all faces of a text: the only place that knows that methods differ.

use crate::clock::Clock;
use crate::faces::HeldOut;
use crate::plan::{Setting, Text};
use anyhow::{Context as _, Result, bail};
use domain::Digest;
use domain::edit::{EditSpec, StrengthSearch};
use editing::control::Directive;
use editing::mapper::Mapper;
use editing::per_image::{self, Item};
use editing::rng::RngKey;
use editing::search::{at_strengths, smallest};
use editing::train::{Slice, SourceSet, TrainState, run_slice};
use editing::{EditText, Engine, Unhindered, raster, region};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};
use tch::Tensor;

/// Faces optimised at once, as a worker would on this machine.
const MICRO_BATCH: usize = 8;
/// A training stops here for a checkpoint.
const SLICE: Duration = Duration::from_secs(60);

/// What an edit of all faces gave.
pub struct Edited {
    /// The edited images `[N, 3, R, R]`, on the levels of a byte.
    pub images: Tensor,
    /// What it took.
    pub cost: Cost,
}

/// What an edit took, and what went wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Wall-clock time from latent to edited image, of one image.
    pub seconds_per_image: f64,
    /// Processor time of the same.
    pub cpu_seconds_per_image: f64,
    /// The mapper's training, for methods that have one.
    pub training: Option<Spent>,
    /// Strength of each face, where one was searched.
    pub strengths: Option<Vec<f64>>,
    /// Places of faces whose edit failed; they stay as they were.
    pub failed: Vec<usize>,
}

/// Time spent.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Wall clock.
    pub seconds: f64,
    /// Processor time of this process.
    pub cpu_seconds: f64,
}

/// A trained mapper and what its training took.
pub struct Trained {
    mapper: Mapper,
    spent: Spent,
}

/// Trains the mapper of an edit, or continues where a process before this one stopped: `folder` keeps checkpoints, and in the
/// end the mapper, for other settings that need the same one.
///
/// # Errors
/// When training fails or the folder cannot be written.
pub fn train(engine: &Engine, text: &EditText, spec: &EditSpec, set: &SourceSet, folder: &Path) -> Result<Trained> {
    let [mapper_file, checkpoint_file, spent_file] =
        ["mapper.safetensors", "checkpoint.safetensors", "spent.json"].map(|name| folder.join(name));
    let mut spent: Spent = match std::fs::read(&spent_file) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| spent_file.display().to_string())?,
        Err(_) => Spent::default(),
    };
    if let Ok(bytes) = std::fs::read(&mapper_file) {
        return Ok(Trained { mapper: Mapper::from_bytes(&bytes, engine)?, spent });
    }
    let identity = spec.mapper_identity()?;
    let method = &spec.method;
    let mut state = match std::fs::read(&checkpoint_file) {
        Ok(bytes) => TrainState::resume(&bytes, engine, text, method, &identity, set.digest())?,
        Err(_) => TrainState::start(engine, text, method, &identity, set.digest())?,
    };
    loop {
        let (clock, began) = (Clock::start()?, Instant::now());
        let mut pause = |_: u32, _: u32| if began.elapsed() > SLICE { Directive::Yield } else { Directive::Continue };
        let slice = run_slice(engine, text, method, set, &mut state, &mut pause)?;
        let now = clock.read()?;
        spent = Spent { seconds: spent.seconds + now.seconds, cpu_seconds: spent.cpu_seconds + now.cpu_seconds };
        crate::cache::replace(&spent_file, &serde_json::to_vec(&spent)?)?;
        match slice {
            Slice::Done(mapper) => {
                crate::cache::replace(&mapper_file, &mapper.to_bytes()?)?;
                return Ok(Trained { mapper: *mapper, spent });
            }
            Slice::Yielded => crate::cache::replace(&checkpoint_file, &state.to_bytes()?)?,
        }
    }
}

/// Edits all faces of a text.
///
/// # Errors
/// When the method cannot be run at all; a face that fails stays as it was and is named.
pub fn edit_all(
    engine: &Engine,
    text: &EditText,
    plan: (&Setting, &Text, &EditSpec, u64),
    faces: &HeldOut,
    trained: Option<&Trained>,
) -> Result<Edited> {
    let (setting, target, spec, seed) = plan;
    let identity = spec.identity()?;
    let clock = Clock::start()?;
    let regions = regions(engine, spec, faces)?;
    let mut images = Vec::new();
    let mut failed = Vec::new();
    let mut strengths = Vec::new();
    let places: Vec<usize> = (0..faces.count()).collect();
    // A mapper takes many at once; the memory of an optimisation is that of its gradients.
    let at_once = if trained.is_some() { 8 * MICRO_BATCH } else { MICRO_BATCH };
    for part in places.chunks(at_once) {
        let narrow = |tensor: &Tensor| tensor.f_narrow(0, part[0] as i64, part.len() as i64);
        let start = narrow(&faces.latents)?;
        let region = regions.as_ref().map(narrow).transpose()?;
        let full = match trained {
            Some(trained) => trained.mapper.apply(&start, 1.0)?,
            None => {
                let key = |place: usize| {
                    let source = Digest::of(faces.numbers[place].to_le_bytes());
                    RngKey::new("quality/views", &source, &identity, seed)
                };
                let rows = start.f_unbind(0)?;
                let items: Vec<_> = part
                    .iter()
                    .zip(&rows)
                    .map(|(&id, latent)| Item { id, latent, key: key(id), begun: None })
                    .collect();
                let method = &spec.method;
                let region = region.as_ref().map(Tensor::shallow_clone);
                let ends = per_image::edit(engine, engine, text, method, &items, region, &mut Unhindered)?;
                let mut latents = Vec::new();
                for ((place, end), row) in part.iter().zip(ends).zip(&rows) {
                    latents.push(end.map_or_else(
                        |stop| {
                            eprintln!("    face {}: {stop}", faces.numbers[*place]);
                            failed.push(*place);
                            row.shallow_clone()
                        },
                        |end| end.latent,
                    ));
                }
                Tensor::f_stack(&latents, 0)?
            }
        };
        let show = |strengths: &[f64]| {
            let shown = engine.render(&at_strengths(&start, &full, strengths)?)?;
            let shown = match &region {
                Some(region) => region::compose(&engine.render(&start)?, &shown, region)?,
                None => shown,
            };
            raster::as_published(&shown)
        };
        let mut factors = vec![setting.strength; part.len()];
        if let Some(search) = &spec.strength_search {
            factors = searched(engine, target, search, &factors, &show)?;
            strengths.extend_from_slice(&factors);
        }
        images.push(show(&factors)?);
    }
    let spent = clock.read()?;
    let each = |seconds: f64| seconds / faces.count() as f64;
    Ok(Edited {
        images: Tensor::f_cat(&images, 0)?,
        cost: Cost {
            seconds_per_image: each(spent.seconds),
            cpu_seconds_per_image: each(spent.cpu_seconds),
            training: trained.map(|trained| trained.spent),
            strengths: (!strengths.is_empty()).then_some(strengths),
            failed,
        },
    })
}

fn searched(
    engine: &Engine,
    target: &Text,
    search: &StrengthSearch,
    ceilings: &[f64],
    show: &dyn Fn(&[f64]) -> Result<Tensor, editing::EditError>,
) -> Result<Vec<f64>> {
    let found = smallest(engine, &target.goal(), search, ceilings, &mut |strengths| show(strengths))?;
    Ok(found.into_iter().map(|found| found.strength).collect())
}

/// The soft masks `[N, 1, R, R]` of an edit that is confined to a region.
fn regions(engine: &Engine, spec: &EditSpec, faces: &HeldOut) -> Result<Option<Tensor>> {
    let Some(region) = &spec.method.guards().region else { return Ok(None) };
    if let Some(name) = spec.method.guards().mask().filter(|name| *name != "drawn") {
        bail!("there is no mask '{name}' of these faces, only 'drawn'");
    }
    let (side, device) = (engine.resolution(), engine.device());
    let soft = |place: usize| -> Result<Tensor> {
        let drawn = faces.region.f_get(place as i64)?.f_multiply_scalar(255.0)?.f_reshape([-1])?;
        let drawn: Vec<u8> = Vec::try_from(drawn.f_to_kind(tch::Kind::Uint8)?)?;
        Ok(region::soft_mask(region, Some(&drawn), side, device)?)
    };
    Ok(Some(Tensor::f_cat(&(0..faces.count()).map(soft).collect::<Result<Vec<_>>>()?, 0)?))
}
