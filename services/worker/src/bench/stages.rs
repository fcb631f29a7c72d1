//! The stages as the worker runs them, each on random networks and random latents.

use super::clock::{Course, repeat, settle};
use super::floors::Stage;
use super::random::clip::ClipModel;
use super::random::{WIDTH, encoder, generator};
use crate::stages::encode::encode_png;
use crate::stages::prepare::{Limits, upright};
use anyhow::{Context as _, Error, Result, bail};
use domain::edit::{CfMapper, ClipNce, Method};
use domain::record::TextFacts;
use domain::{Digest, Precision};
use editing::control::Directive;
use editing::engine::Parts;
use editing::rng::RngKey;
use editing::train::{Slice, SourceSet, TrainState, run_slice};
use editing::{Control, EditText, Engine, Stop, kind_of, per_image, raster};
use networks::clip::{Activation, Normalise, Preprocess, Resize};
use networks::identity::{IdentityArchitecture, IdentityInput};
use networks::weights::LoadReport;
use networks::{Clip, ClipConfig, Encoder, EncoderArchitecture, Generator, GeneratorSettings, Identity, Tokenizer};
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// More steps than any measurement takes: it ends by yielding.
const STEPS: u32 = 1_000_000;
/// Sentences of an edit: as many as there are templates in CF-CLIP.
const SENTENCES: i64 = 79;

/// What the networks that are written for others to run are drawn from.
pub const GENERATOR_SEED: i64 = 1;
/// Likewise.
pub const CLIP_SEED: i64 = 3;
/// Likewise.
pub const RECOGNISER_SEED: i64 = 6;

/// A tokenizer that merges nothing: a letter is a token. A random CLIP has learnt no words.
///
/// # Errors
/// When libtorch fails.
pub fn tokenizer() -> Result<Tokenizer> {
    Ok(Tokenizer::from_merges("#version: 0.2\n", 77)?)
}

/// Networks of one resolution and CLIP, and the text of an edit.
pub struct Rig {
    engine: Engine,
    text: EditText,
}

impl Rig {
    /// Draws the networks: a StyleGAN2 of `side` px, e4e, and a CLIP. The text's features are random, because texts are encoded
    /// once per edit, in no stage here.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(side: i64, model: ClipModel, device: Device, precision: Precision) -> Result<Self> {
        Self::assemble(side, model, device, precision, None)
    }

    /// The same in single precision with a face recogniser, for the methods that keep to a face.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn with_recogniser(side: i64, model: ClipModel, device: Device) -> Result<Self> {
        let weights = encoder::recogniser().weights("random recogniser", RECOGNISER_SEED, device, Kind::Float)?;
        let identity = Identity::load(weights, IdentityArchitecture::IrSe50, IdentityInput::FfhqCrop)?;
        Self::assemble(side, model, device, Precision::Fp32, Some(identity))
    }

    fn assemble(
        side: i64,
        model: ClipModel,
        device: Device,
        precision: Precision,
        identity: Option<(Identity, LoadReport)>,
    ) -> Result<Self> {
        let [drawn, encoded, clip] =
            [generator::generator(side), encoder::encoder(generator::n_latent(side)), model.network()];
        let drawn = drawn.weights("random generator", GENERATOR_SEED, device, kind_of(precision))?;
        let generator = Generator::load(drawn, GeneratorSettings::default())?;
        let encoder =
            Encoder::load(encoded.weights("random encoder", 2, device, Kind::Float)?, EncoderArchitecture::E4e)?;
        let (clip, report) = Clip::load(
            clip.weights("random CLIP", CLIP_SEED, device, kind_of(precision))?,
            &ClipConfig::new(Activation::QuickGelu),
        )?;
        let embed = clip.shape().embed;
        let engine = Engine::assemble(Parts {
            generator,
            generator_digest: Digest::of(b"random generator"),
            precision,
            encoder: Some(encoder),
            identity,
            clip: (clip, report.weights),
            tokenizer: tokenizer()?,
            preprocess: Preprocess { resize: Resize::AreaBanded, normalise: Normalise::ClipMeanStd },
            templates: vec!["{}".to_owned()],
        })?;
        tch::manual_seed(4);
        let sentences = || -> Result<Tensor> {
            let drawn = Tensor::f_randn([SENTENCES, embed], (Kind::Float, Device::Cpu))?.f_to_device(device)?;
            Ok(drawn.f_div(&drawn.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), true)?)?)
        };
        let facts = TextFacts {
            target: String::new(),
            neutral: String::new(),
            templates: SENTENCES as u32,
            expanded: Digest::of(b""),
            tokens: None,
        };
        let text = EditText::from_features(&sentences()?, &sentences()?, facts)?;
        Ok(Self { engine, text })
    }

    /// Seconds of each counted pass or step of a stage over `batch` images.
    ///
    /// # Errors
    /// When memory runs out, or the stage fails.
    pub fn seconds(&self, stage: Stage, batch: usize, course: Course) -> Result<Vec<f64>> {
        match stage {
            Stage::Invert => self.invert(batch, course),
            Stage::Optimise => self.optimise(batch, course),
            Stage::Train => self.train(batch, course),
            Stage::Apply => self.apply(batch, course),
            Stage::Picture => pictures(self.engine.resolution(), batch, course),
        }
    }

    fn invert(&self, batch: usize, course: Course) -> Result<Vec<f64>> {
        let side = self.engine.resolution();
        let images = raster::from_rgb8(&vec![picture(side); batch], side, self.engine.device())?;
        repeat(course, self.engine.device(), || Ok(self.engine.encode(&images)?))
    }

    fn optimise(&self, batch: usize, course: Course) -> Result<Vec<f64>> {
        let latents = self.latents(batch)?;
        let rows = (0..batch).map(|row| latents.f_get(row as i64)).collect::<Result<Vec<_>, _>>()?;
        let key = |id: usize| RngKey::new("bench", &Digest::of(id.to_le_bytes()), &Digest::of(b""), 0);
        let items: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(id, latent)| per_image::Item { id, latent, key: key(id), begun: None })
            .collect();
        let method = Method::ClipNce(ClipNce { steps: STEPS, ..ClipNce::default() });
        self.steps(course, |control| {
            let ends = per_image::edit(&self.engine, &self.engine, &self.text, &method, &items, None, control)?;
            match ends.into_iter().find(|end| !matches!(end, Err(Stop::Yielded(_)))) {
                // The cause stays at hand: memory that ran out is no failure.
                Some(Err(Stop::Failed(error))) => Err(Error::new(error).context("an image left the batch")),
                Some(Err(stop)) => bail!("an image left the batch: {stop}"),
                Some(Ok(_)) => bail!("an image left the batch before its last step"),
                None => Ok(()),
            }
        })
    }

    fn train(&self, batch: usize, course: Course) -> Result<Vec<f64>> {
        let (method, name) = (mapper(u32::try_from(batch)?), Digest::of(b"random latents"));
        let sources = SourceSet::new(&self.engine, name, &self.latents(batch)?)?;
        let mut state = TrainState::start(&self.engine, &self.text, &method, &name, &name)?;
        self.steps(course, |control| {
            match run_slice(&self.engine, &self.text, &method, &sources, &mut state, control)? {
                Slice::Yielded => Ok(()),
                Slice::Done(_) => bail!("the training ended before its last step"),
            }
        })
    }

    fn apply(&self, batch: usize, course: Course) -> Result<Vec<f64>> {
        let (method, name) = (mapper(1), Digest::of(b"random latents"));
        let mapper = TrainState::start(&self.engine, &self.text, &method, &name, &name)?.mapper(&self.text)?;
        let latents = self.latents(batch)?;
        repeat(course, self.engine.device(), || {
            let edited = mapper.apply(&latents, 1.0)?;
            Ok(raster::to_rgb8(&self.engine.render(&edited)?)?)
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Latents `[batch, L, 512]`, the same in every run.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn latents(&self, batch: usize) -> Result<Tensor> {
        tch::manual_seed(5);
        let shape = [batch as i64, self.engine.n_latent(), WIDTH];
        Ok(Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_to_device(self.engine.device())?)
    }

    /// Seconds from the beginning of each counted step to that of the next.
    fn steps(&self, course: Course, run: impl FnOnce(&mut dyn Control) -> Result<()>) -> Result<Vec<f64>> {
        let mut began = Vec::with_capacity(course.warm_up + course.repeats + 1);
        let mut control = |_: u32, _: u32| {
            settle(self.engine.device());
            began.push(Instant::now());
            let enough = began.len() > course.warm_up + course.repeats;
            if enough { Directive::Yield } else { Directive::Continue }
        };
        run(&mut control)?;
        Ok(began.windows(2).skip(course.warm_up).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect())
    }
}

/// The method with its defaults, but for the batch and the number of steps.
fn mapper(batch: u32) -> Method {
    Method::CfMapper(CfMapper { steps: STEPS, batch, ..CfMapper::default() })
}

/// Seconds of writing `batch` pictures as PNG and reading them again.
///
/// # Errors
/// When a picture cannot be written or read.
pub fn pictures(side: i64, batch: usize, course: Course) -> Result<Vec<f64>> {
    let (pixels, side) = (picture(side), u32::try_from(side).context("a side")?);
    repeat(course, Device::Cpu, || {
        for _ in 0..batch {
            let file = encode_png(side, side, &pixels)?;
            let read = upright(&file, &Limits::default()).and_then(|image| image.square(side))?;
            if read.raster != pixels {
                bail!("a PNG of {side} px does not give its pixels back");
            }
        }
        Ok(())
    })
}

/// A picture with slopes and some grain, so that a PNG of it is about as large as one of a photograph.
fn picture(side: i64) -> Vec<u8> {
    let mut grain = 1_u32;
    (0..side * side * 3)
        .map(|place| {
            let (x, y) = ((place / 3 % side) as f64, (place / 3 / side) as f64);
            let slope = 128.0 + 90.0 * (x / 37.0 + (place % 3) as f64).sin() * (y / 53.0).cos();
            grain = grain.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Safe to narrow: between 38 and 226.
            (slope + f64::from(grain >> 29)) as u8
        })
        .collect()
}
