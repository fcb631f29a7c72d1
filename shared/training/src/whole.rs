//! A whole training: every part of a recipe in order, then the pack and its report.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use networks::Tokenizer;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tch::{Device, Tensor};

use crate::adversarial::AdversarialTraining;
use crate::bpe;
use crate::captions::Grammar;
use crate::clip::ClipTraining;
use crate::dataset::Pictures;
use crate::encoder::EncoderNetwork;
use crate::error::TrainingError;
use crate::faces::Distribution;
use crate::judge::JudgeTraining;
use crate::mapping::MappingTraining;
use crate::pack;
use crate::recipe::Recipe;
use crate::reconstruction::ReconstructionTraining;
use crate::report::{self, Figures};
use crate::session::{Ended, Part, Plan, run};

/// Sentences that the tokenizer's merges are learnt from.
const SENTENCES: usize = 20_000;

/// Where and how a recipe is carried out.
#[derive(Clone, Debug)]
pub struct Workplace {
    /// The unpacked face library.
    pub library: PathBuf,
    /// Checkpoints and curves go to `work`, the pack to `pack`, the report beside them.
    pub folder: PathBuf,
    /// CPU or a GPU.
    pub device: Device,
    /// Threads that draw faces.
    pub threads: usize,
    /// Whether to go on from checkpoints.
    pub resume: bool,
    /// When to stop for this time.
    pub until: Option<Instant>,
}

/// How it ended.
#[derive(Debug)]
pub enum Done {
    /// The pack is written.
    Pack {
        /// Its folder.
        folder: PathBuf,
        /// What it reaches.
        figures: Box<Figures>,
    },
    /// The time was up in this part; run again with `resume`.
    Paused {
        /// The part.
        part: &'static str,
        /// Its next step.
        next: u64,
    },
}

struct Course<'a> {
    recipe: &'a Recipe,
    place: &'a Workplace,
    times: Vec<(&'static str, u64, Duration)>,
}

impl Course<'_> {
    /// Runs one part; false when the time is up. `settings` is everything its state depends on.
    fn run(&mut self, part: &mut dyn Part, steps: u64, settings: String) -> Result<Option<Done>, TrainingError> {
        let work = self.place.folder.join("work");
        let plan = Plan {
            folder: &work,
            steps,
            seed: self.seed(part.name()),
            settings: domain::Digest::of(settings.as_bytes()).to_string(),
            checkpoint_every: self.recipe.checkpoint_every,
            curve_every: (steps / 100).clamp(1, 50),
            resume: self.place.resume,
            until: self.place.until,
        };
        Ok(match run(part, &plan)? {
            Ended::Finished { took } => {
                self.times.push((part.name(), steps, took));
                None
            }
            Ended::Paused { next } => Some(Done::Paused { part: part.name(), next }),
        })
    }

    /// A seed of its own for each part, from the recipe's.
    fn seed(&self, part: &str) -> u64 {
        let names = ["judge", "clip", "reconstruction", "mapping", "adversarial", "encoder"];
        let index = names.iter().position(|name| *name == part).unwrap_or(names.len());
        self.recipe.seed.wrapping_mul(names.len() as u64 + 1).wrapping_add(index as u64 + 1)
    }
}

macro_rules! part {
    ($course:expr, $part:expr, $steps:expr, $settings:expr) => {
        if let Some(paused) = $course.run(&mut $part, $steps, $settings)? {
            return Ok(paused);
        }
    };
}

/// Carries a recipe out, from where its checkpoints are.
pub fn train(recipe: &Recipe, place: &Workplace) -> Result<Done, TrainingError> {
    recipe.check()?;
    let (device, side) = (place.device, recipe.generator.side());
    let mut course = Course { recipe, place, times: Vec::new() };
    let mut settings = format!("{:?}{:?}{side}", recipe.faces, recipe.seed);
    let draw = |distribution, offset: u64, count| {
        let seed = recipe.seed.wrapping_mul(16).wrapping_add(offset);
        Pictures::draw(&place.library, distribution, seed, count, side as u32, place.threads)
    };

    let open = both(
        draw(Distribution::Open, 1, recipe.faces.open / 2)?,
        draw(Distribution::Continuous, 2, recipe.faces.open / 2)?,
    )?;
    let mut judge = JudgeTraining::new(&recipe.judge, side, &open, course.seed("judge"), device)?;
    part!(course, judge, recipe.judge.steps, format!("{settings}{:?}", recipe.judge));

    let merges = learn_merges(recipe, &open)?;
    let tokenizer = Tokenizer::from_merges(&merges, recipe.clip.context as usize)?;
    let mut clip = ClipTraining::new(&recipe.clip, side, &open, &tokenizer, course.seed("clip"), device)?;
    part!(course, clip, recipe.clip.steps, format!("{settings}{:?}", recipe.clip));

    let natural = draw(Distribution::Natural, 3, recipe.faces.natural)?;
    tch::manual_seed(recipe.seed as i64);
    let mut generator = recipe.generator.initial(device)?;
    let mut encoder =
        EncoderNetwork::new(&recipe.encoder, side, recipe.generator.layers(), recipe.generator.w_dim, device)?;
    settings += &format!("{:?}{:?}", recipe.generator, recipe.encoder);
    if recipe.reconstruction.steps > 0 {
        let (s, seed) = (&recipe.reconstruction, course.seed("reconstruction"));
        let mut part = ReconstructionTraining::new(s, encoder, generator, false, &natural, seed)?;
        settings += &format!("{s:?}");
        part!(course, part, s.steps, settings.clone());
        (encoder, generator) = part.finish()?;
    }
    if recipe.mapping.steps > 0 {
        let s = &recipe.mapping;
        let mut part = MappingTraining::new(s, generator, &encoder, &natural, course.seed("mapping"))?;
        settings += &format!("{s:?}");
        part!(course, part, s.steps, settings.clone());
        generator = part.finish()?;
    }
    if recipe.adversarial.steps > 0 {
        let s = &recipe.adversarial;
        let mut part = AdversarialTraining::new(s, generator, &natural, course.seed("adversarial"))?;
        settings += &format!("{s:?}");
        part!(course, part, s.steps, settings.clone());
        generator = part.finish()?;
    }
    if recipe.refinement.steps > 0 {
        let s = &recipe.refinement;
        let mut part = ReconstructionTraining::new(s, encoder, generator, true, &natural, course.seed("encoder"))?;
        settings += &format!("{s:?}");
        part!(course, part, s.steps, settings.clone());
        (encoder, generator) = part.finish()?;
    }

    let folder = place.folder.join("pack");
    let networks = pack::Networks {
        generator: &generator,
        encoder: &encoder.parameters,
        clip: clip.parameters(),
        judge: judge.parameters(),
        merges: &merges,
    };
    let pack = pack::write(&folder, recipe, &networks, &place.library)?;
    let held_out = draw(Distribution::Natural, 4, recipe.faces.held_out)?;
    let held_out_open = draw(Distribution::Open, 5, recipe.faces.held_out)?;
    let (sheet, stages) = (place.folder.join("sheet.png"), recipe.judge.channels.len());
    let figures = report::measure(&pack, judge.parameters(), stages, &held_out, &held_out_open, recipe.seed, &sheet)?;
    let about = format!(
        "`{}` {}: {side} x {side} px, {} natural and {} open faces, seed {}, device {device:?}.",
        recipe.name, recipe.version, recipe.faces.natural, recipe.faces.open, recipe.seed
    );
    report::write(&place.folder.join("report.md"), &figures, &course.times, &about)?;
    Ok(Done::Pack { folder, figures: Box::new(figures) })
}

fn both(a: Pictures, b: Pictures) -> Result<Pictures, TrainingError> {
    Ok(Pictures {
        images: Tensor::f_cat(&[&a.images, &b.images], 0)?,
        labels: Tensor::f_cat(&[&a.labels, &b.labels], 0)?,
        colours: Tensor::f_cat(&[&a.colours, &b.colours], 0)?,
        faces: a.faces.into_iter().chain(b.faces).collect(),
    })
}

fn learn_merges(recipe: &Recipe, pictures: &Pictures) -> Result<String, TrainingError> {
    let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
    let grammar = Grammar::default();
    let rows = Vec::<Vec<i64>>::try_from(&pictures.labels)?;
    let sentences: Vec<String> =
        (0..SENTENCES).map(|i| grammar.caption(&rows[i % rows.len()], &mut rng).text).collect();
    Ok(bpe::learn(sentences.iter().map(String::as_str), recipe.clip.merges))
}

/// Reads a recipe and carries it out.
pub fn train_file(recipe: &Path, place: &Workplace) -> Result<Done, TrainingError> {
    train(&Recipe::open(recipe)?, place)
}
