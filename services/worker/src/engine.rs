//! From a pack's manifest to the engine that computes with it.

use domain::Digest;
use editing::score::Goal;
use editing::{
    ClipConfig, EncoderConfig, EngineConfig, GeneratorConfig, IdentityConfig, JudgeConfig, PerceptualConfig,
};
use networks::clip::{Activation, Normalise, Preprocess, Resize};
use networks::judge::Head;
use networks::{
    EncoderArchitecture, EncoderFrame, GeneratorSettings, IdentityArchitecture, IdentityInput, PerceptualArchitecture,
    stylegan2, stylegan3,
};
use packs::Manifest;
use packs::manifest as said;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A pack whose files are on this machine, with their digests verified.
#[derive(Clone, Debug)]
pub struct LocalPack {
    /// Its identity.
    pub digest: Digest,
    /// What it says about itself.
    pub manifest: Manifest,
    /// Where its files lie and how they are read.
    pub config: EngineConfig,
    /// Where each file lies, and its name in the pack.
    files: Vec<(PathBuf, String)>,
    /// What is in them, once it was asked for.
    tensors: Arc<OnceLock<BTreeMap<String, Digest>>>,
    /// Open files whose locks keep them where they are.
    _kept: Arc<Vec<File>>,
}

impl LocalPack {
    /// The pack of `manifest`, whose file of each digest lies at `path`.
    pub fn new(manifest: Manifest, path: impl Fn(&packs::PackFile<'_>) -> PathBuf) -> Self {
        let paths: BTreeMap<_, _> = manifest.files().iter().map(|file| (file.role, path(file))).collect();
        let config = config(&manifest, |role| paths.get(&role).cloned().unwrap_or_default());
        let files = manifest.files().iter().map(|file| (path(file), file.file.to_owned())).collect();
        Self { digest: manifest.digest(), config, files, manifest, tensors: Arc::default(), _kept: Arc::default() }
    }

    /// The same, which keeps these files of a shared cache from being evicted while it lives.
    pub fn keeping(self, files: Vec<File>) -> Self {
        Self { _kept: Arc::new(files), ..self }
    }

    /// An error's text with the pack's own file names in place of where the files happen to lie here.
    pub fn with_own_names(&self, text: &str) -> String {
        self.files.iter().fold(text.to_owned(), |text, (path, name)| text.replace(&path.display().to_string(), name))
    }

    /// Height and width of its images, px.
    pub fn resolution(&self) -> u32 {
        self.manifest.image.size
    }

    /// Every file's role and digest, for the record.
    pub fn models(&self) -> BTreeMap<String, Digest> {
        self.manifest.files().iter().map(|file| (file.role.key().to_owned(), file.sha256)).collect()
    }

    /// What is in each file, by role, for the record. The first call reads all of them; run it where blocking is allowed.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn tensors(&self) -> io::Result<BTreeMap<String, Digest>> {
        if let Some(known) = self.tensors.get() {
            return Ok(known.clone());
        }
        let roles = self.manifest.files().into_iter().map(|file| file.role);
        let mut tensors = BTreeMap::new();
        for (role, (path, _)) in roles.zip(&self.files) {
            // Files of other kinds, such as a tokenizer's merges, have none.
            if let Ok(found) = packs::weights::inspect(path)?.tensors {
                tensors.insert(role.key().to_owned(), packs::weights::tensor_digest(&found));
            }
        }
        Ok(self.tensors.get_or_init(|| tensors).clone())
    }

    /// How its judge reads edits to `text`.
    pub fn goal(&self, text: &str) -> Option<Goal> {
        let target = self.manifest.judge.as_ref()?.target(text)?;
        Some(Goal { head: target.head.clone(), class: target.class.clone(), tied: target.excluded.clone() })
    }
}

fn config(manifest: &Manifest, path: impl Fn(packs::Role) -> PathBuf) -> EngineConfig {
    use packs::Role;
    let clip = |clip: &said::Clip, weights, merges| ClipConfig {
        weights: path(weights),
        merges: path(merges),
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
    };
    let head = |head: &said::Head| Head { name: head.name.clone(), classes: head.classes.clone() };
    let second = manifest.clip_second.as_ref();
    let judge = manifest.judge.as_ref();
    let identity = |part: &said::Identity| IdentityConfig {
        weights: path(Role::Identity),
        architecture: match part.architecture {
            said::IdentityArchitecture::IrSe50 => IdentityArchitecture::IrSe50,
            said::IdentityArchitecture::EmbeddingCnn => IdentityArchitecture::EmbeddingCnn,
        },
        input: match part.input {
            said::IdentityInput::FfhqCrop => IdentityInput::FfhqCrop,
            said::IdentityInput::WholeImage => IdentityInput::WholeImage,
        },
    };
    let encoder = |part: &said::Encoder| EncoderConfig {
        weights: path(Role::Encoder),
        architecture: match part.architecture {
            said::EncoderArchitecture::ResidualWPlus => EncoderArchitecture::ResidualWPlus,
            said::EncoderArchitecture::E4e => EncoderArchitecture::E4e,
            said::EncoderArchitecture::Psp => EncoderArchitecture::Psp,
            said::EncoderArchitecture::RestylePsp => EncoderArchitecture::RestylePsp,
            said::EncoderArchitecture::RestyleE4e => EncoderArchitecture::RestyleE4e,
        },
        frame: match part.frame {
            said::EncoderFrame::Whole => EncoderFrame::Whole,
            said::EncoderFrame::MiddleRows => EncoderFrame::MiddleRows,
        },
    };
    let perceptual = |part: &said::Perceptual| PerceptualConfig {
        weights: path(Role::Perceptual),
        architecture: match part.architecture {
            said::PerceptualArchitecture::LpipsAlex => PerceptualArchitecture::LpipsAlex,
            said::PerceptualArchitecture::LpipsVgg => PerceptualArchitecture::LpipsVgg,
            said::PerceptualArchitecture::Vgg19Relu52 => PerceptualArchitecture::Vgg19Relu52,
        },
    };
    EngineConfig {
        generator: GeneratorConfig { weights: path(Role::Generator), settings: settings(&manifest.generator) },
        encoder: manifest.encoder.as_ref().map(encoder),
        clip: clip(&manifest.clip, Role::Clip, Role::ClipMerges),
        second_clip: second.map(|second| clip(second, Role::ClipSecond, Role::ClipSecondMerges)),
        judge: judge.map(|j| JudgeConfig { weights: path(Role::Judge), heads: j.heads.iter().map(head).collect() }),
        identity: manifest.identity.as_ref().map(identity),
        perceptual: manifest.perceptual.as_ref().map(perceptual),
        // MTCNN is the one that there is
        detector: manifest.detector.as_ref().map(|_| path(Role::Detector)),
        templates: manifest.text.templates.clone(),
        subjects: manifest.text.subjects.clone(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECTIONS: &str = r#"
[identity]
architecture = "ir-se50"
file = "identity.safetensors"
sha256 = "ac0da93c9a466d3add76641e25081c279a29358305e259fc20dc499832e17bb1"
dtype = "f32"
input = "ffhq-crop"

[perceptual]
architecture = "vgg19-relu5-2"
file = "perceptual.safetensors"
sha256 = "2e3c4ce0acd84c783b3bcf4ee9b04dee6be8110bc3d63f2a9f1f43186822416b"
dtype = "f32"
"#;

    #[test]
    fn optional_networks_reach_the_engine_as_the_manifest_says() {
        let demo = testkit::workspace_root().join("deploy/demo/pack/pack.toml");
        let demo = std::fs::read_to_string(demo).expect("the demo pack is in the repository");
        let local = |text: &str| {
            let manifest = Manifest::from_toml(text).expect("a sound manifest");
            LocalPack::new(manifest, |file| PathBuf::from("/packs").join(file.file))
        };
        let plain = local(&demo);
        assert!(plain.config.identity.is_none() && plain.config.perceptual.is_none());
        assert!(!plain.models().contains_key("identity"));

        let full = local(&(demo + SECTIONS));
        let identity = full.config.identity.as_ref().expect("an identity network");
        assert_eq!(identity.weights, PathBuf::from("/packs/identity.safetensors"));
        assert_eq!((identity.architecture, identity.input), (IdentityArchitecture::IrSe50, IdentityInput::FfhqCrop));
        let perceptual = full.config.perceptual.as_ref().expect("a perceptual network");
        assert_eq!(perceptual.weights, PathBuf::from("/packs/perceptual.safetensors"));
        assert_eq!(perceptual.architecture, PerceptualArchitecture::Vgg19Relu52);
        let models = full.models();
        assert!(models.contains_key("identity") && models.contains_key("perceptual"), "records name both");
        assert!(full.with_own_names("tensor x in /packs/identity.safetensors").ends_with("in identity.safetensors"));
    }
}
