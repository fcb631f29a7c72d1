//! One part's training from its first step to its last, with checkpoints between.
//!
//! A step is a function of the state and of its number: batches, augmentations and noise are seeded by (seed, step). So the
//! data cursor is the step, and a run that was cut off and resumed ends with the bits of one that was not (on one machine
//! with one number of threads). libtorch's generator belongs to the process, so a process runs one session at a time.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, View};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;

/// Losses of one step, by name; the first is the one that is optimised.
pub type Losses = Vec<(&'static str, f64)>;

/// What is trained in one session.
pub trait Part {
    /// The name of its files.
    fn name(&self) -> &'static str;

    /// One step. libtorch's generator is already seeded for it, and `rng` is too.
    fn step(&mut self, step: u64, steps: u64, rng: &mut ChaCha8Rng) -> Result<Losses, TrainingError>;

    /// Everything that steps change, by name, sharing its memory: a resumed session copies into these.
    fn state(&self) -> Vec<(String, Tensor)>;
}

/// How a session runs.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Where checkpoints and curves lie.
    pub folder: &'a Path,
    /// Last step plus one.
    pub steps: u64,
    /// Seed of everything random in the part.
    pub seed: u64,
    /// Digest of the settings that the state depends on; a checkpoint of others is refused.
    pub settings: String,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Steps that one line of the curve stands for.
    pub curve_every: u64,
    /// Whether to go on from a checkpoint that is there. Without it a checkpoint is an error, never overwritten.
    pub resume: bool,
    /// When to stop in between, leaving a checkpoint.
    pub until: Option<Instant>,
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// All steps are done.
    Finished {
        /// Time spent in steps, over all sessions.
        took: Duration,
    },
    /// The time was up; the checkpoint holds the state before `next`.
    Paused {
        /// The step to go on with.
        next: u64,
    },
}

/// What a checkpoint knows besides tensors.
#[derive(Serialize, Deserialize)]
struct Progress {
    version: u32,
    part: String,
    settings: String,
    seed: u64,
    next: u64,
    seconds: f64,
    curve: Vec<CurveLine>,
}

/// Mean losses over a stretch of steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct CurveLine {
    step: u64,
    losses: BTreeMap<String, f64>,
}

const VERSION: u32 = 1;

/// Runs a part to its end, or to the end of its time.
pub fn run(part: &mut dyn Part, plan: &Plan<'_>) -> Result<Ended, TrainingError> {
    fs::create_dir_all(plan.folder).map_err(TrainingError::io(plan.folder))?;
    let checkpoint = plan.folder.join(format!("{}.checkpoint.safetensors", part.name()));
    let curve = plan.folder.join(format!("{}.curve.csv", part.name()));
    let mut progress = start(part, plan, &checkpoint)?;
    let mut stretch: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut length = 0;
    while progress.next < plan.steps {
        if plan.until.is_some_and(|until| Instant::now() >= until) {
            save(part, &progress, &checkpoint)?;
            write_curve(&progress, &curve)?;
            return Ok(Ended::Paused { next: progress.next });
        }
        let began = Instant::now();
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        rng.set_stream(progress.next);
        tch::manual_seed(rng.random::<u32>().into());
        let losses = part.step(progress.next, plan.steps, &mut rng)?;
        for (loss, value) in losses {
            *stretch.entry(loss).or_default() += value;
            if !value.is_finite() {
                let step = progress.next;
                progress.curve.push(line(step, &stretch, length + 1));
                write_curve(&progress, &curve)?;
                return Err(TrainingError::Diverged { part: part.name(), step, loss, value, curve });
            }
        }
        length += 1;
        progress.next += 1;
        progress.seconds += began.elapsed().as_secs_f64();
        // Counted from step 0, so that a resumed curve has the lines of an uninterrupted one (a cut stretch is shorter).
        if progress.next.is_multiple_of(plan.curve_every.max(1)) || progress.next == plan.steps {
            let new = line(progress.next, &stretch, length);
            tracing::info!(part = part.name(), step = new.step, seconds = progress.seconds.round(), losses = ?new.losses);
            progress.curve.push(new);
            stretch.clear();
            length = 0;
        }
        if progress.next.is_multiple_of(plan.checkpoint_every.max(1)) || progress.next == plan.steps {
            save(part, &progress, &checkpoint)?;
            write_curve(&progress, &curve)?;
        }
    }
    Ok(Ended::Finished { took: Duration::from_secs_f64(progress.seconds) })
}

fn line(step: u64, stretch: &BTreeMap<&'static str, f64>, length: u64) -> CurveLine {
    CurveLine { step, losses: stretch.iter().map(|(k, v)| ((*k).to_owned(), v / length.max(1) as f64)).collect() }
}

fn start(part: &dyn Part, plan: &Plan<'_>, path: &Path) -> Result<Progress, TrainingError> {
    if !path.exists() {
        let (part, settings) = (part.name().to_owned(), plan.settings.clone());
        return Ok(Progress {
            version: VERSION,
            part,
            settings,
            seed: plan.seed,
            next: 0,
            seconds: 0.0,
            curve: vec![],
        });
    }
    let refuse = |reason: String| TrainingError::Checkpoint { path: path.to_owned(), reason };
    if !plan.resume {
        return Err(refuse("a checkpoint is there and --resume was not given".to_owned()));
    }
    let bytes = fs::read(path).map_err(TrainingError::io(path))?;
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| refuse(error.to_string()))?;
    let text =
        metadata.metadata().as_ref().and_then(|m| m.get("progress")).ok_or_else(|| refuse("no progress".into()))?;
    let progress: Progress = serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
    if progress.version != VERSION || progress.part != part.name() {
        return Err(refuse(format!("it is of part {}, version {}", progress.part, progress.version)));
    }
    if progress.settings != plan.settings || progress.seed != plan.seed {
        return Err(refuse("it was made with other settings or another seed".to_owned()));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|error| refuse(error.to_string()))?;
    let state = part.state();
    if file.len() != state.len() {
        return Err(refuse(format!("it has {} tensors, the part has {}", file.len(), state.len())));
    }
    for (name, mut tensor) in state {
        let view = file.tensor(&name).map_err(|error| refuse(error.to_string()))?;
        let shape: Vec<i64> = view.shape().iter().map(|n| *n as i64).collect();
        if shape != tensor.size() || view.dtype() != Dtype::F32 {
            return Err(refuse(format!("{name} has shape {shape:?}, the part's has {:?}", tensor.size())));
        }
        let saved = Tensor::f_from_data_size(view.data(), &shape, Kind::Float)?;
        tch::no_grad(|| tensor.f_copy_(&saved))?;
    }
    Ok(progress)
}

fn save(part: &dyn Part, progress: &Progress, path: &Path) -> Result<(), TrainingError> {
    // Safe because the struct has string keys only; JSON writes NaN as null, and none gets here.
    let text = serde_json::to_string(progress).expect("progress is plain JSON");
    write_tensors(part.state(), HashMap::from([("progress".to_owned(), text)]), Kind::Float, path)
}

fn write_curve(progress: &Progress, path: &Path) -> Result<(), TrainingError> {
    let Some(last) = progress.curve.last() else { return Ok(()) };
    let names: Vec<&String> = last.losses.keys().collect();
    let mut text = "step".to_owned();
    names.iter().for_each(|name| text.push_str(&format!(",{name}")));
    for line in &progress.curve {
        text.push_str(&format!("\n{}", line.step));
        for name in &names {
            text.push_str(&line.losses.get(*name).map_or(",".to_owned(), |value| format!(",{value:.6}")));
        }
    }
    text.push('\n');
    replace(path, text.as_bytes())
}

/// One tensor's bytes on their way to a file.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.data).into()
    }
    fn data_len(&self) -> usize {
        self.data.len()
    }
}

/// Writes tensors as a safetensors file in `kind` (`Float` or `Half`), whole or not at all.
pub fn write_tensors(
    tensors: Vec<(String, Tensor)>,
    metadata: HashMap<String, String>,
    kind: Kind,
    path: &Path,
) -> Result<(), TrainingError> {
    let (dtype, size) = if kind == Kind::Half { (Dtype::F16, 2) } else { (Dtype::F32, 4) };
    let mut views = BTreeMap::new();
    for (name, tensor) in tensors {
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?;
        let mut data = vec![0; tensor.numel() * size];
        let elements = tensor.numel();
        tensor.f_copy_data_u8(&mut data, elements)?;
        let shape = tensor.size().iter().map(|n| *n as usize).collect();
        views.insert(name, Bytes { dtype, shape, data });
    }
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let bytes = serialize(views, metadata).map_err(|error| TrainingError::Checkpoint {
        path: path.to_owned(),
        reason: format!("it could not be written: {error}"),
    })?;
    replace(path, &bytes)
}

/// Replaces a file whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrainingError> {
    let part: PathBuf = path.with_extension("part");
    fs::write(&part, bytes).map_err(TrainingError::io(&part))?;
    fs::rename(&part, path).map_err(TrainingError::io(path))
}
