//! From a pack's manifest to the engine that computes with it.

use domain::Digest;
use editing::score::Goal;
use editing::{ClipConfig, EngineConfig, JudgeConfig};
use networks::clip::{Activation, Normalise, Preprocess, Resize};
use networks::judge::Head;
use packs::Manifest;
use packs::manifest as said;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
}

impl LocalPack {
    /// The pack of `manifest`, whose file of each digest lies at `path`.
    pub fn new(manifest: Manifest, path: impl Fn(&packs::PackFile<'_>) -> PathBuf) -> Self {
        let paths: BTreeMap<_, _> = manifest.files().iter().map(|file| (file.role, path(file))).collect();
        let config = config(&manifest, |role| paths.get(&role).cloned().unwrap_or_default());
        let files = manifest.files().iter().map(|file| (path(file), file.file.to_owned())).collect();
        Self { digest: manifest.digest(), config, files, manifest }
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
        activation: match clip.activation {
            said::Activation::QuickGelu => Activation::QuickGelu,
            said::Activation::Gelu => Activation::Gelu,
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
    EngineConfig {
        generator: path(Role::Generator),
        encoder: path(Role::Encoder),
        clip: clip(&manifest.clip, Role::Clip, Role::ClipMerges),
        second_clip: second.map(|second| clip(second, Role::ClipSecond, Role::ClipSecondMerges)),
        judge: judge.map(|j| JudgeConfig { weights: path(Role::Judge), heads: j.heads.iter().map(head).collect() }),
        templates: manifest.text.templates.clone(),
        subjects: manifest.text.subjects.clone(),
    }
}
