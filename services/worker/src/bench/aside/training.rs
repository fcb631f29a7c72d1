//! CF-CLIP's training of a mapper, written down so that another program can take the very same steps.
//!
//! The method is `cf-mapper` in the mode `repro-2022` with the published hyper-parameters: eight views that a batch shares, negatives of
//! the first image, 79 templates, the published mapper, a face recogniser (ArcFace's IR-SE50) and Ranger.
//!
//! ```text
//! generator.safetensors, clip.safetensors, recogniser.safetensors   the networks, in their published names
//! training.safetensors   latents [N, L, 512]; tokens.target and tokens.neutral [79, 77], tokens.prompt [1, 77];
//!                        parameter.NAME, the mapper before the first step; and of each batch B
//!                        rows.B [steps, B], views.B [steps, V, 8] (the batch's homographies), gradient.B.NAME at the first step
//! training.json          sizes, weights of the losses, rate of each step; losses and seconds of each run, and their floors
//! ```

use super::NetworksOf;
use crate::bench::ceilings::Ceilings;
use crate::bench::floors::Floor;
use crate::bench::random::clip::ClipModel;
use crate::bench::random::encoder;
use crate::bench::set_threads;
use crate::bench::stages::{RECOGNISER_SEED, Rig, tokenizer};
use anyhow::{Context as _, Result, bail};
use domain::Digest;
use domain::Precision;
use domain::edit::{CfMapper, Method, TemplateSet};
use editing::control::Directive;
use editing::guidance::Guidance;
use editing::mapper::{Shape, groups};
use editing::train::{Sight, Slice, SourceSet, TrainState, rate, run_slice, slope};
use editing::{EditText, Engine};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Images of the training set.
const IMAGES: usize = 8;
/// The published templates bring the article.
const TARGET: &str = "green hair";
const NEUTRAL: &str = "face";

/// What each step began with, by the loss's name.
type Losses = BTreeMap<String, Vec<f32>>;

/// What `training.json` holds.
#[derive(Serialize)]
struct Told {
    resolution: i64,
    clip: ClipModel,
    /// The layers that share a network of the mapper.
    groups: Vec<Range<i64>>,
    temperature: f64,
    /// Of each loss, by the name that it has in `losses`.
    weights: BTreeMap<&'static str, f64>,
    rates: Vec<f64>,
    profile: &'static str,
    ceilings: Vec<Ceilings>,
    runs: Vec<Run>,
}

/// The first steps of a training.
#[derive(Serialize)]
struct Run {
    threads: usize,
    batch: usize,
    /// Of each step.
    seconds: Vec<f64>,
    losses: Losses,
    /// Of a step, multiply-adds and bytes.
    floor: Floor,
    /// Seconds that a step takes at least, at the machine's ceilings.
    floor_seconds: f64,
}

/// The steps to take.
#[derive(Clone, Copy)]
pub struct Course<'a> {
    /// Of each training.
    pub steps: u32,
    /// Images in a step.
    pub batches: &'a [usize],
    /// Threads of one operation.
    pub threads: &'a [usize],
}

/// Takes the steps with each number of threads and images, and writes everything into `folder`.
///
/// # Errors
/// When memory runs out or the folder cannot be written.
pub fn run(folder: &Path, networks: NetworksOf, course: Course<'_>, device: Device) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let NetworksOf { side, clip } = networks;
    let rig = Rig::with_recogniser(side, clip, device)?;
    let engine = rig.engine();
    let of = published(1)?;
    let temperature = of.loss.temperature;
    let first = Method::CfMapper(of);
    let text = EditText::encode(engine, TARGET, NEUTRAL, first.numerics())?;
    let latents = rig.latents(IMAGES)?;
    let sources = SourceSet::new(engine, Digest::of(b"random latents"), &latents)?;
    let mut tensors = vec![("latents".to_owned(), latents.shallow_clone())];
    tensors.extend(tokens(engine)?);

    let training = first.training().context("cf-mapper trains a mapper")?;
    let mut told = Told {
        resolution: side,
        clip,
        groups: groups(engine.n_latent()),
        temperature,
        weights: BTreeMap::from([
            ("guide", first.guide_weight()),
            ("latent_l2", first.latent_l2()),
            ("identity", first.guards().identity),
        ]),
        rates: (0..course.steps).map(|step| rate(&training, step)).collect(),
        profile: if cfg!(debug_assertions) { "debug" } else { "release" },
        ceilings: Vec::new(),
        runs: Vec::new(),
    };
    for (place, &threads) in course.threads.iter().enumerate() {
        set_threads(threads);
        let ceilings = Ceilings::measure(threads, device, Precision::Fp32)?;
        told.ceilings.push(ceilings);
        for &batch in course.batches {
            let of = published(u32::try_from(batch)?)?;
            let floor = Floor::training(side, clip, &of, batch as u64);
            let training = Training { engine, text: &text, sources: &sources, method: Method::CfMapper(of) };
            let mut state = training.start()?;
            if told.runs.is_empty() {
                // The same for every batch.
                tensors.extend(training.named("parameter", state.parameters())?);
            }
            if place == 0 {
                tensors.extend(training.seen(&state, batch, course.steps)?);
            }
            let (seconds, losses) = training.steps(&mut state, course.steps)?;
            told.runs.push(Run { threads, batch, seconds, losses, floor, floor_seconds: floor.seconds(&ceilings) });
        }
    }
    networks.save(folder)?;
    encoder::recogniser().save(RECOGNISER_SEED, &folder.join("recogniser.safetensors"))?;
    let tensors = tensors.into_iter().map(|(name, tensor)| Ok((name, tensor.f_to_device(Device::Cpu)?)));
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    Tensor::write_safetensors(&tensors, folder.join("training.safetensors"))?;
    std::fs::write(folder.join("training.json"), serde_json::to_vec_pretty(&told)?)?;
    Ok(())
}

/// The published method.
fn published(batch: u32) -> Result<CfMapper> {
    match Method::repro_2022("cf-mapper") {
        Some(Method::CfMapper(of)) => Ok(CfMapper { batch, ..of }),
        _ => bail!("cf-mapper has no published hyper-parameters"),
    }
}

/// The sentences of the edit, as CLIP reads them.
fn tokens(engine: &Engine) -> Result<[(String, Tensor); 3]> {
    let (sentences, tokenizer) = (engine.sentences_of(TemplateSet::Imagenet79, TARGET, NEUTRAL), tokenizer()?);
    Ok([
        ("tokens.target".to_owned(), tokenizer.encode_batch(&sentences.target)?),
        ("tokens.neutral".to_owned(), tokenizer.encode_batch(&sentences.neutral)?),
        ("tokens.prompt".to_owned(), tokenizer.encode_batch(&[TARGET])?),
    ])
}

/// A training and what it is over.
struct Training<'a> {
    engine: &'a Engine,
    text: &'a EditText,
    sources: &'a SourceSet,
    method: Method,
}

impl Training<'_> {
    fn start(&self) -> Result<TrainState> {
        let (edit, set) = (Digest::of(TARGET.as_bytes()), self.sources.digest());
        Ok(TrainState::start(self.engine, self.text, &self.method, &edit, set)?)
    }

    /// A list of one tensor per parameter, each by its name behind `list`.
    fn named(&self, list: &str, tensors: &[Tensor]) -> Result<Vec<(String, Tensor)>> {
        let names = Shape::of(self.engine, &self.method, self.text)?.parameters();
        let named =
            |((name, _), tensor): ((String, Vec<i64>), &Tensor)| (format!("{list}.{name}"), tensor.shallow_clone());
        Ok(names.into_iter().zip(tensors).map(named).collect())
    }

    /// What the steps of a training that is at its beginning will see, where it begins, and the gradients there.
    fn seen(&self, state: &TrainState, batch: usize, steps: u32) -> Result<Vec<(String, Tensor)>> {
        let known = self.sources.known(self.engine, &self.method)?;
        let guidance = Guidance::over(self.engine, self.engine, &self.method, self.text, known, None)?;
        let sights = (0..steps).map(|step| Sight::draw(&guidance, state, step, batch as u32, self.sources.len()));
        let sights: Vec<_> = sights.collect();
        let first = sights.first().context("a training has a step")?;
        let shape = Shape::of(self.engine, &self.method, self.text)?;
        let slope = slope(&guidance, self.text, &shape, state.parameters(), self.sources.latents(), first)?;

        let rows: Vec<i64> = sights.iter().flat_map(|sight| sight.rows.iter().map(|&row| row as i64)).collect();
        let views: Vec<f64> = sights.iter().flat_map(|sight| sight.views[0].iter().flat_map(|view| view.0)).collect();
        let steps = i64::from(steps);
        let mut tensors = vec![
            (format!("rows.{batch}"), Tensor::f_from_slice(&rows)?.f_view([steps, batch as i64])?),
            (format!("views.{batch}"), Tensor::f_from_slice(&views)?.f_to_kind(Kind::Double)?.f_view([steps, -1, 8])?),
        ];
        tensors.extend(self.named(&format!("gradient.{batch}"), &slope.gradients)?);
        Ok(tensors)
    }

    /// Seconds of each of the first steps, and the losses before them.
    fn steps(&self, state: &mut TrainState, steps: u32) -> Result<(Vec<f64>, Losses)> {
        let mut began = Vec::with_capacity(steps as usize + 1);
        // Each step's losses were brought to the host, so a GPU has done all of the step before but its move.
        let mut control = |step: u32, _: u32| {
            began.push(Instant::now());
            if step == steps { Directive::Yield } else { Directive::Continue }
        };
        match run_slice(self.engine, self.text, &self.method, self.sources, state, &mut control)? {
            Slice::Yielded => {}
            Slice::Done(_) => bail!("the training ended before its last step"),
        }
        let seconds = began.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        Ok((seconds, state.curve().terms().iter().cloned().collect()))
    }
}
