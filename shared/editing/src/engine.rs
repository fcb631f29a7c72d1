//! The networks of one pack on one device, and what they compute together.

mod parts;

pub use parts::Parts;

use crate::error::EditError;
use crate::perspective::Perspective;
use crate::templates::{self, Sentences};
use crate::text::unit;
use domain::edit::{ClipInput, TemplateSet};
use domain::{Digest, Precision};
use networks::clip::{Clip, Normalise, Preprocess, Preprocessor, Resize};
use networks::detector::Detector;
use networks::error::LoadError;
use networks::identity::{Identity, IdentityArchitecture, IdentityInput};
use networks::judge::{Head, Judge};
use networks::perceptual::{Perceptual, PerceptualArchitecture};
use networks::tokenizer::Tokenizer;
use networks::weights::{LoadReport, Weights};
use networks::{Encoder, EncoderArchitecture, EncoderFrame, Generator, GeneratorSettings};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// Images of at most 128 px computed at once where no gradient flows and the caller gives a whole set; of larger ones fewer, in
/// inverse proportion to their pixels: a layer's maps of one image of 1024 px take 128 MiB.
const CHUNK: i64 = 64;

/// Images of `side` px to compute at once; see [`CHUNK`].
pub(crate) fn chunk(side: i64) -> i64 {
    (CHUNK * 128 * 128 / side.pow(2).max(1)).clamp(1, CHUNK)
}

/// The kind of the tensors that generator and guiding CLIP compute with.
pub const fn kind_of(precision: Precision) -> Kind {
    match precision {
        Precision::Fp32 | Precision::Tf32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// Where the parts of a pack lie and how they are read. Plain data: the packs crate makes it from a manifest.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The generator.
    pub generator: GeneratorConfig,
    /// The inversion encoder, if the pack has one.
    pub encoder: Option<EncoderConfig>,
    /// The CLIP that guides edits.
    pub clip: ClipConfig,
    /// A CLIP that never guides, only scores.
    pub second_clip: Option<ClipConfig>,
    /// The attribute judge.
    pub judge: Option<JudgeConfig>,
    /// The face recogniser, for the identity loss and score.
    pub identity: Option<IdentityConfig>,
    /// The perceptual network, for the perceptual loss and inversion.
    pub perceptual: Option<PerceptualConfig>,
    /// The face detector's weights, safetensors.
    pub detector: Option<PathBuf>,
    /// Sentences with one `{}` each.
    pub templates: Vec<String>,
    /// Nouns that may stand for the neutral text: see [`Sentences::expand`].
    pub subjects: Vec<String>,
}

/// A generator.
#[derive(Clone, Debug)]
pub struct GeneratorConfig {
    /// Weights, safetensors.
    pub weights: PathBuf,
    /// Which network, and what its tensors do not tell.
    pub settings: GeneratorSettings,
}

impl From<PathBuf> for GeneratorConfig {
    /// A StyleGAN2 without a bound on activations.
    fn from(weights: PathBuf) -> Self {
        Self { weights, settings: GeneratorSettings::default() }
    }
}

/// An inversion encoder.
#[derive(Clone, Debug)]
pub struct EncoderConfig {
    /// Weights, safetensors.
    pub weights: PathBuf,
    /// Which network.
    pub architecture: EncoderArchitecture,
    /// The part of an image that it reads.
    pub frame: EncoderFrame,
}

impl From<PathBuf> for EncoderConfig {
    /// The project's own.
    fn from(weights: PathBuf) -> Self {
        Self { weights, architecture: EncoderArchitecture::default(), frame: EncoderFrame::default() }
    }
}

/// One CLIP with its tokenizer.
#[derive(Clone, Debug)]
pub struct ClipConfig {
    /// Weights, safetensors, OpenAI's names.
    pub weights: PathBuf,
    /// BPE merges in OpenAI's file format.
    pub merges: PathBuf,
    /// What its tensors do not tell.
    pub network: networks::ClipConfig,
    /// How images reach it.
    pub preprocess: Preprocess,
}

/// The judge and what its outputs mean.
#[derive(Clone, Debug)]
pub struct JudgeConfig {
    /// Weights, safetensors.
    pub weights: PathBuf,
    /// Its heads and their classes.
    pub heads: Vec<Head>,
}

/// A face recogniser.
#[derive(Clone, Debug)]
pub struct IdentityConfig {
    /// Weights, safetensors.
    pub weights: PathBuf,
    /// Which network.
    pub architecture: IdentityArchitecture,
    /// What it looks at.
    pub input: IdentityInput,
}

/// A perceptual network.
#[derive(Clone, Debug)]
pub struct PerceptualConfig {
    /// Weights, safetensors.
    pub weights: PathBuf,
    /// Which network.
    pub architecture: PerceptualArchitecture,
}

/// A CLIP, made ready.
#[derive(Debug)]
struct Guide {
    clip: Clip,
    tokenizer: Tokenizer,
    preprocess: Preprocess,
    preprocessor: Preprocessor,
    report: LoadReport,
}

/// The loaded, frozen networks of one pack.
///
/// One thread owns it: libtorch's tensors are not shared between threads. Methods here keep no gradient unless they say
/// so; the optimisers reach the networks through [`Engine::generator`] and [`Engine::guide_features`].
#[derive(Debug)]
pub struct Engine {
    generator: Generator,
    encoder: Option<Encoder>,
    guide: Guide,
    second: Option<Guide>,
    judge: Option<Judge>,
    identity: Option<Identity>,
    perceptual: Option<Perceptual>,
    detector: Option<Detector>,
    perspective: Perspective,
    templates: Vec<String>,
    subjects: Vec<String>,
    device: Device,
    reports: Vec<LoadReport>,
    generator_digest: Digest,
    precision: Precision,
}

impl Engine {
    /// Loads every part onto `device`, in f32.
    ///
    /// # Errors
    /// Names the file and tensor that is missing, damaged or of another network; or says which parts do not fit together.
    pub fn open(config: &EngineConfig, device: Device) -> Result<Self, EditError> {
        Self::open_in(config, device, Precision::Fp32)
    }

    /// Loads generator and guiding CLIP in `precision`, and everything else in f32: what scores an edit is the same in each. Whether a
    /// GPU rounds to TF32 is a setting of the process ([`networks::device::allow_tf32`]).
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_in(config: &EngineConfig, device: Device, precision: Precision) -> Result<Self, EditError> {
        let kind = kind_of(precision);
        let open = |path: &Path| Weights::open(path, device, Kind::Float);
        let file = &config.generator.weights;
        let generator_digest =
            digest_of(file).map_err(|source| LoadError::Unreadable { file: file.clone(), source })?;
        let (generator, of_generator) = Generator::load(Weights::open(file, device, kind)?, config.generator.settings)?;
        let mut reports = vec![of_generator];
        let mut encoder = None;
        if let Some(config) = &config.encoder {
            let (network, report) = Encoder::load_framed(open(&config.weights)?, config.architecture, config.frame)?;
            reports.push(report);
            encoder = Some(network);
        }
        let guide = Guide::open(&config.clip, device, kind)?;
        let second = config.second_clip.as_ref().map(|clip| Guide::open(clip, device, Kind::Float)).transpose()?;
        reports.extend([Some(&guide), second.as_ref()].into_iter().flatten().map(|guide| guide.report.clone()));
        let judge = match &config.judge {
            Some(judge) => {
                let (judge, report) = Judge::load(open(&judge.weights)?, &judge.heads)?;
                reports.push(report);
                Some(judge)
            }
            None => None,
        };
        let mut identity = None;
        if let Some(config) = &config.identity {
            let (network, report) = Identity::load(open(&config.weights)?, config.architecture, config.input)?;
            reports.push(report);
            identity = Some(network);
        }
        let mut perceptual = None;
        if let Some(config) = &config.perceptual {
            let (network, report) = Perceptual::load(open(&config.weights)?, config.architecture)?;
            reports.push(report);
            perceptual = Some(network);
        }
        let mut detector = None;
        if let Some(weights) = &config.detector {
            let (network, report) = Detector::load(open(weights)?)?;
            reports.push(report);
            detector = Some(network);
        }
        check_latents(&generator, encoder.as_ref())?;
        Ok(Self {
            perspective: Perspective::new(generator.resolution(), device)?,
            generator,
            encoder,
            guide,
            second,
            judge,
            identity,
            perceptual,
            detector,
            templates: config.templates.clone(),
            subjects: config.subjects.clone(),
            device,
            reports,
            generator_digest,
            precision,
        })
    }

    /// Height and width of the images, px.
    pub fn resolution(&self) -> i64 {
        self.generator.resolution()
    }

    /// Latents per image, the `L` of W+ `[B, L, w_dim]`.
    pub fn n_latent(&self) -> i64 {
        self.generator.n_latent()
    }

    /// Size of one latent.
    pub fn w_dim(&self) -> i64 {
        self.generator.w_dim()
    }

    /// Where everything is computed.
    pub fn device(&self) -> Device {
        self.device
    }

    /// What was loaded: generator, encoder, CLIP, second CLIP, judge.
    pub fn reports(&self) -> &[LoadReport] {
        &self.reports
    }

    /// Memory that one look at an image by the CLIP that guides edits takes while its gradient is computed, in bytes, estimated.
    pub fn view_bytes(&self) -> u64 {
        self.guide.clip.shape().gradient_bytes()
    }

    /// The generator, for passes that need gradients.
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// SHA-256 of the generator's file: what latents, and mappers that change them, belong to.
    pub fn generator_digest(&self) -> Digest {
        self.generator_digest
    }

    /// What generator and guiding CLIP compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The judge, if the pack has one.
    pub fn judge(&self) -> Option<&Judge> {
        self.judge.as_ref()
    }

    /// The perceptual network, if the pack has one. **Gradients flow** through it.
    pub fn perceptual(&self) -> Option<&Perceptual> {
        self.perceptual.as_ref()
    }

    /// The face recogniser, if the pack has one. **Gradients flow** through it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The face detector, if the pack has one: for photographs, not for what the generator draws.
    pub fn detector(&self) -> Option<&Detector> {
        self.detector.as_ref()
    }

    /// The maker of random views at this pack's resolution.
    pub fn perspective(&self) -> &Perspective {
        &self.perspective
    }

    /// The sentence pairs of an edit under this pack's templates.
    pub fn sentences(&self, target: &str, neutral: &str) -> Sentences {
        self.sentences_of(TemplateSet::Pack, target, neutral)
    }

    /// The sentence pairs of an edit under a set of templates; subjects stand for each other in the pack's own alone.
    pub fn sentences_of(&self, set: TemplateSet, target: &str, neutral: &str) -> Sentences {
        match set {
            TemplateSet::Pack => Sentences::expand(&self.templates, &self.subjects, target, neutral),
            TemplateSet::Imagenet79 => Sentences::expand(&templates::imagenet79(), &[], target, neutral),
            TemplateSet::Prompt => Sentences::expand(&["{}".to_owned()], &[], target, neutral),
        }
    }

    /// Inverts images `[B, 3, R, R]` in [-1, 1] to W+ `[B, L, w_dim]` by the pack's encoder (ReStyle's renders in between).
    ///
    /// # Errors
    /// When the pack has no encoder, the shape is wrong or memory runs out.
    pub fn encode(&self, images: &Tensor) -> Result<Tensor, EditError> {
        let Some(encoder) = &self.encoder else {
            let what = "has no encoder: invert by optimisation (`inversion = { method = \"optimise\" }`)".to_owned();
            return Err(EditError::Pack { what });
        };
        let images = resized(images, encoder.image_size())?;
        tch::no_grad(|| Ok(encoder.encode_with(&images, &|w_plus| self.generator.synthesize(w_plus))?))
    }

    /// Renders W+ `[B, L, w_dim]` to images `[B, 3, R, R]`, not clamped.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn render(&self, w_plus: &Tensor) -> Result<Tensor, EditError> {
        tch::no_grad(|| Ok(self.generator.synthesize(w_plus)?))
    }

    /// `E(x)` of the images of any number of latents `[N, L, w_dim]`: `[N, D]`, computed in chunks of a fixed size.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn rendered_features(&self, w_plus: &Tensor) -> Result<Tensor, EditError> {
        tch::no_grad(|| {
            let chunks = w_plus.f_split(chunk(self.resolution()), 0)?;
            let features =
                chunks.iter().map(|chunk| self.guide_features(&self.render(chunk)?)).collect::<Result<Vec<_>, _>>()?;
            Ok(Tensor::f_cat(&features, 0)?)
        })
    }

    /// Unit features `[B, D]` of images `[B, 3, R, R]` by the CLIP that guides edits. **Gradients flow** to the images.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn guide_features(&self, images: &Tensor) -> Result<Tensor, EditError> {
        self.guide.image_features(images)
    }

    /// The same, with the images brought to CLIP in the way `input` says. **Gradients flow** to the images.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn guide_features_as(&self, images: &Tensor, input: ClipInput) -> Result<Tensor, EditError> {
        let pack = self.guide.preprocess;
        match input {
            // A pack whose images have CLIP's own size names no resampling, but a smaller guide needs one.
            ClipInput::Pack if pack.resize == Resize::None => {
                self.guide.image_features(&resized(images, self.guide.clip.shape().image_size)?)
            }
            ClipInput::Pack => self.guide.image_features(images),
            ClipInput::BicubicPlain => {
                self.guide.image_features_through(Preprocess { resize: Resize::Bicubic, ..pack }, images)
            }
            ClipInput::AreaRaw => {
                let raw = Preprocess { resize: Resize::AreaBanded, normalise: Normalise::SignedUnit };
                self.guide.image_features_through(raw, images)
            }
        }
    }

    /// Unit features `[B, D]` of texts by the CLIP that guides edits.
    ///
    /// # Errors
    /// When a text has too many tokens, or a network fails.
    pub fn text_features(&self, texts: &[String]) -> Result<Tensor, EditError> {
        self.guide.text_features(texts)
    }

    /// SHA-256 over the token ids of some texts as the CLIP that guides edits is given them: canonical JSON, a list of numbers a text.
    ///
    /// # Errors
    /// When a text has too many tokens.
    pub fn token_digest(&self, texts: &[String]) -> Result<Digest, EditError> {
        let ids = texts.iter().map(|text| self.guide.tokenizer.encode(text)).collect::<Result<Vec<_>, _>>()?;
        domain::digest_of(&ids).map_err(|error| EditError::Input { what: error.to_string() })
    }

    /// The feature `[D]` of one text by the CLIP that guides edits, at its own length.
    ///
    /// # Errors
    /// When the text has too many tokens, or a network fails.
    pub fn raw_text_feature(&self, text: &str) -> Result<Tensor, EditError> {
        let tokens = self.guide.tokenizer.encode_batch(&[text])?;
        tch::no_grad(|| Ok(self.guide.clip.encode_text(&tokens)?.f_to_kind(Kind::Float)?.f_squeeze_dim(0)?))
    }

    /// Cosines `[B]` of images with the mean target sentence, by the CLIP that guides no edit; `None` without one.
    ///
    /// # Errors
    /// When a text has too many tokens, or a network fails.
    pub fn second_similarity(&self, images: &Tensor, sentences: &[String]) -> Result<Option<Tensor>, EditError> {
        let Some(second) = &self.second else { return Ok(None) };
        tch::no_grad(|| {
            let text = unit(&second.text_features(sentences)?.f_mean_dim([0_i64].as_slice(), false, None)?)?;
            Ok(Some(second.image_features(images)?.f_matmul(&text)?))
        })
    }
}

/// Refuses an encoder whose latents are not the generator's.
fn check_latents(generator: &Generator, encoder: Option<&Encoder>) -> Result<(), EditError> {
    let Some(encoder) = encoder else { return Ok(()) };
    let (wanted, found) = ([generator.n_latent(), generator.w_dim()], [encoder.n_latent(), encoder.w_dim()]);
    if wanted != found {
        let what = format!("is inconsistent: the generator takes latents {wanted:?}, the encoder makes {found:?}");
        return Err(EditError::Pack { what });
    }
    Ok(())
}

/// Hashes a file in pieces: a generator has hundreds of megabytes.
fn digest_of(path: &Path) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(Digest::from_bytes(hash.finalize().into()))
}

impl Guide {
    fn open(config: &ClipConfig, device: Device, kind: Kind) -> Result<Self, EditError> {
        let weights = Weights::open(&config.weights, device, kind)?;
        let (clip, report) = Clip::load(weights, &config.network)?;
        let merges = std::fs::read_to_string(&config.merges)
            .map_err(|source| LoadError::Unreadable { file: config.merges.clone(), source })?;
        let tokenizer = Tokenizer::from_merges(&merges, clip.shape().context as usize)
            .map_err(|e| EditError::Pack { what: format!("has a bad merge file {}: {e}", config.merges.display()) })?;
        let preprocessor = Preprocessor::new(config.preprocess, clip.shape().image_size);
        Ok(Self { clip, tokenizer, preprocess: config.preprocess, preprocessor, report: report.weights })
    }

    fn image_features(&self, images: &Tensor) -> Result<Tensor, EditError> {
        wide_unit(&self.clip.encode_image(&self.preprocessor.forward(images)?)?)
    }

    fn image_features_through(&self, way: Preprocess, images: &Tensor) -> Result<Tensor, EditError> {
        let preprocessor = Preprocessor::new(way, self.clip.shape().image_size);
        wide_unit(&self.clip.encode_image(&preprocessor.forward(images)?)?)
    }

    fn text_features(&self, texts: &[String]) -> Result<Tensor, EditError> {
        let tokens = self.tokenizer.encode_batch(texts)?;
        tch::no_grad(|| wide_unit(&self.clip.encode_text(&tokens)?))
    }
}

/// A CLIP's features, of length one, in f32 whatever it computes in: losses compare them to the fourth digit.
fn wide_unit(features: &Tensor) -> Result<Tensor, EditError> {
    Ok(unit(&features.f_to_kind(Kind::Float)?)?)
}

/// Images `[B, 3, R, R]` at the size a network reads, by antialiased bilinear resampling; untouched when they have it.
pub(crate) fn resized(images: &Tensor, side: i64) -> Result<Tensor, tch::TchError> {
    if images.size().ends_with(&[side, side]) {
        return Ok(images.shallow_clone());
    }
    images.f_internal_upsample_bilinear2d_aa([side, side], false, None, None)
}
