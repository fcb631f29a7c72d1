//! From a pack's folder to the engines that compute with it.

use anyhow::{Context as _, Result};
use domain::{Digest, Precision};
use editing::{
    ClipConfig, EncoderConfig, Engine, EngineConfig, GeneratorConfig, IdentityConfig, JudgeConfig, PerceptualConfig,
};
use networks::clip::{Activation, Normalise, Preprocess, Resize};
use networks::identity::{IdentityArchitecture, IdentityInput};
use networks::judge::Head;
use networks::perceptual::PerceptualArchitecture;
use networks::{EncoderArchitecture, EncoderFrame, GeneratorSettings, stylegan2, stylegan3};
use packs::manifest as said;
use packs::{Pack, Role};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tch::Device;

/// A pack, opened on the CPU with one thread.
pub struct Networks {
    /// The pack's identity.
    pub pack: Digest,
    /// Its name and version.
    pub name: String,
    /// Its networks, in single precision: they edit, and they score.
    pub engine: Rc<Engine>,
    config: EngineConfig,
    /// The same in other precisions, as far as one was asked for.
    others: RefCell<BTreeMap<Precision, Rc<Engine>>>,
}

impl Networks {
    /// The networks with generator and guiding CLIP in `precision`.
    ///
    /// # Errors
    /// When a network cannot be read.
    pub fn editing_in(&self, precision: Precision) -> Result<Rc<Engine>> {
        if precision.is_default() {
            return Ok(Rc::clone(&self.engine));
        }
        let mut others = self.others.borrow_mut();
        if let Some(open) = others.get(&precision) {
            return Ok(Rc::clone(open));
        }
        let engine = Rc::new(Engine::open_in(&self.config, Device::Cpu, precision)?);
        others.insert(precision, Rc::clone(&engine));
        Ok(engine)
    }
}

/// Opens the pack in `folder`.
///
/// # Errors
/// When its manifest or a network cannot be read.
pub fn open(folder: &Path) -> Result<Networks> {
    tch::set_num_threads(1);
    let pack = Pack::open(folder)?;
    let manifest = pack.manifest();
    let path = |role| pack.path_of(role).unwrap_or_default();
    let second = manifest.clip_second.as_ref();
    let head = |head: &said::Head| Head { name: head.name.clone(), classes: head.classes.clone() };
    let config = EngineConfig {
        generator: GeneratorConfig { weights: path(Role::Generator), settings: settings(&manifest.generator) },
        encoder: manifest.encoder.as_ref().map(|part| encoder(part, path(Role::Encoder))),
        clip: clip(&manifest.clip, [path(Role::Clip), path(Role::ClipMerges)]),
        second_clip: second.map(|second| clip(second, [path(Role::ClipSecond), path(Role::ClipSecondMerges)])),
        judge: manifest
            .judge
            .as_ref()
            .map(|judge| JudgeConfig { weights: path(Role::Judge), heads: judge.heads.iter().map(head).collect() }),
        identity: manifest.identity.as_ref().map(|part| identity(part, path(Role::Identity))),
        perceptual: manifest.perceptual.as_ref().map(|part| perceptual(part, path(Role::Perceptual))),
        // the benchmark's faces are framed already
        detector: None,
        templates: manifest.text.templates.clone(),
        subjects: manifest.text.subjects.clone(),
    };
    let engine = Engine::open(&config, Device::Cpu).with_context(|| format!("pack {}", folder.display()))?;
    Ok(Networks {
        pack: pack.digest(),
        name: format!("{} {}", manifest.name, manifest.version),
        engine: Rc::new(engine),
        config,
        others: RefCell::default(),
    })
}

/// Which generator it is, and what its tensors do not tell.
fn settings(part: &said::Generator) -> GeneratorSettings {
    let conv_clamp = part.conv_clamp;
    match (part.architecture, &part.stylegan3) {
        (said::GeneratorArchitecture::StyleGan2, _) => {
            GeneratorSettings::StyleGan2(stylegan2::GeneratorConfig { conv_clamp })
        }
        (said::GeneratorArchitecture::StyleGan3, None) => {
            GeneratorSettings::StyleGan3(stylegan3::Config { conv_clamp, ..stylegan3::Config::default() })
        }
        (said::GeneratorArchitecture::StyleGan3, Some(said)) => GeneratorSettings::StyleGan3(stylegan3::Config {
            num_critical: said.num_critical as usize,
            first_cutoff: said.first_cutoff,
            first_stopband: said.first_stopband,
            last_stopband_rel: said.last_stopband_rel,
            margin_size: i64::from(said.margin_size),
            output_scale: said.output_scale,
            conv_clamp,
        }),
    }
}

fn encoder(part: &said::Encoder, weights: PathBuf) -> EncoderConfig {
    let architecture = match part.architecture {
        said::EncoderArchitecture::ResidualWPlus => EncoderArchitecture::ResidualWPlus,
        said::EncoderArchitecture::E4e => EncoderArchitecture::E4e,
        said::EncoderArchitecture::Psp => EncoderArchitecture::Psp,
        said::EncoderArchitecture::RestylePsp => EncoderArchitecture::RestylePsp,
        said::EncoderArchitecture::RestyleE4e => EncoderArchitecture::RestyleE4e,
    };
    let frame = match part.frame {
        said::EncoderFrame::Whole => EncoderFrame::Whole,
        said::EncoderFrame::MiddleRows => EncoderFrame::MiddleRows,
    };
    EncoderConfig { weights, architecture, frame }
}

fn clip(clip: &said::Clip, [weights, merges]: [PathBuf; 2]) -> ClipConfig {
    ClipConfig {
        weights,
        merges,
        network: networks::ClipConfig {
            activation: match clip.activation {
                said::Activation::QuickGelu => Activation::QuickGelu,
                said::Activation::Gelu => Activation::Gelu,
            },
            vision_heads: clip.vision_heads.map(i64::from),
            text_heads: clip.text_heads.map(i64::from),
        },
        preprocess: Preprocess {
            resize: match clip.preprocess.resize {
                said::Resize::None => Resize::None,
                said::Resize::Area => Resize::AreaBanded,
                said::Resize::BicubicAa => Resize::BicubicAntialias,
                said::Resize::Bicubic => Resize::Bicubic,
            },
            normalise: match clip.preprocess.normalise {
                said::Normalise::ClipMeanStd => Normalise::ClipMeanStd,
                said::Normalise::SignedUnit => Normalise::SignedUnit,
            },
        },
    }
}

fn identity(part: &said::Identity, weights: PathBuf) -> IdentityConfig {
    IdentityConfig {
        weights,
        architecture: match part.architecture {
            said::IdentityArchitecture::IrSe50 => IdentityArchitecture::IrSe50,
            said::IdentityArchitecture::EmbeddingCnn => IdentityArchitecture::EmbeddingCnn,
        },
        input: match part.input {
            said::IdentityInput::FfhqCrop => IdentityInput::FfhqCrop,
            said::IdentityInput::WholeImage => IdentityInput::WholeImage,
        },
    }
}

fn perceptual(part: &said::Perceptual, weights: PathBuf) -> PerceptualConfig {
    PerceptualConfig {
        weights,
        architecture: match part.architecture {
            said::PerceptualArchitecture::LpipsAlex => PerceptualArchitecture::LpipsAlex,
            said::PerceptualArchitecture::LpipsVgg => PerceptualArchitecture::LpipsVgg,
            said::PerceptualArchitecture::Vgg19Relu52 => PerceptualArchitecture::Vgg19Relu52,
        },
    }
}
