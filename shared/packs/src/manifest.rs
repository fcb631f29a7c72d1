//! `pack.toml`: what a pack says about itself. Unknown keys are errors, so that a misspelt key cannot be silently ignored.

mod check;
mod detector;
mod measure;

pub(crate) use check::plain_path;
pub use detector::{Detector, DetectorArchitecture};
pub use measure::{Identity, IdentityArchitecture, IdentityInput, Perceptual, PerceptualArchitecture};

use crate::error::PackError;
use crate::text::Text;
use domain::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The manifest format this version reads and writes.
pub const FORMAT: u32 = 1;

/// A parsed and checked `pack.toml`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of this file; see [`FORMAT`].
    pub format: u32,
    /// Short name: lower-case letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most 64 characters.
    pub name: String,
    /// The maker's version of the pack.
    pub version: String,
    /// One sentence for lists.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Licence of the weights, as an SPDX expression where there is one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// What else a user must know about rights: attribution, non-commercial parts, data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license_notes: String,
    /// Files for people that lie in the folder (model card, licence texts). They must exist; their bytes are no part of the identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<String>,
    /// The images that all networks of the pack agree on.
    pub image: Image,
    /// The generator that edits are made in.
    pub generator: Generator,
    /// The encoder that finds an image's latent. Without one, images are inverted by optimisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
    /// The CLIP that edits are optimised against.
    pub clip: Clip,
    /// A CLIP that is never optimised against, for a second opinion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_second: Option<Clip>,
    /// The template set for texts.
    pub text: Text,
    /// A classifier that scores edits; never optimised against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
    /// A network that tells whether two images show the same face.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// A network that tells how differently two images look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perceptual: Option<Perceptual>,
    /// Networks that find the face in a photograph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<Detector>,
    /// Where imported parts came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// The checkpoint that a part of the pack was imported from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The part.
    pub role: Role,
    /// The checkpoint's name, without its folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// The program that wrote it: `rosinality`, `nvidia-stylegan2`, `openai`, ...
    pub family: String,
    /// The digest of the tensors that it became, whatever their order in the file.
    pub tensors: Digest,
    /// What the import had to decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Size and meaning of an image tensor.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Height and width, px: a power of two, 4 to 4096.
    pub size: u32,
    /// Colour channels: 3.
    pub channels: u32,
    /// Value of byte 0 and of byte 255: `[-1.0, 1.0]`.
    pub range: [f64; 2],
    /// Order of axes and channels.
    pub layout: Layout,
}

/// Order of axes and channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `[B, 3, H, W]`; red, green, blue.
    NchwRgb,
}

/// Element type of a weights file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit brain floats.
    Bf16,
    /// 32-bit floats.
    F32,
    /// Any of the three, tensor by tensor (OpenAI's CLIP archives keep their layer norms in 32 bits).
    Mixed,
}

/// `[generator]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// Which network the tensors form.
    pub architecture: GeneratorArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type.
    pub dtype: Dtype,
    /// The bound on activations that NVIDIA's trainings since StyleGAN2-ADA put in (256); none in other networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conv_clamp: Option<f64>,
    /// What the tensors of a StyleGAN3 do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stylegan3: Option<StyleGan3Settings>,
}

/// Arguments of `SynthesisNetwork` in the stylegan3 repository, under its names.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleGan3Settings {
    /// Layers before RGB that are critically sampled.
    pub num_critical: u32,
    /// Cutoff frequency of the first layer, cycles per image.
    pub first_cutoff: f64,
    /// Least stopband frequency of the first layer, cycles per image.
    pub first_stopband: f64,
    /// Least stopband frequency of the last layer, relative to its cutoff.
    pub last_stopband_rel: f64,
    /// Pixels kept outside the image on each side.
    pub margin_size: u32,
    /// Factor on the image.
    pub output_scale: f64,
}

/// Generators this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GeneratorArchitecture {
    /// StyleGAN2 with the names of rosinality/stylegan2-pytorch; all sizes are read from the file.
    #[serde(rename = "stylegan2")]
    StyleGan2,
    /// StyleGAN3, configurations T and R, with NVIDIA's names; what these do not tell is under `stylegan3`.
    #[serde(rename = "stylegan3")]
    StyleGan3,
}

/// `[encoder]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Which network the tensors form.
    pub architecture: EncoderArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type.
    pub dtype: Dtype,
    /// The part of an image that it reads.
    #[serde(default, skip_serializing_if = "EncoderFrame::is_whole")]
    pub frame: EncoderFrame,
}

/// The part of a square image that an encoder reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderFrame {
    /// All of it.
    #[default]
    Whole,
    /// All columns and the middle three quarters of the rows: landscapes of 4:3 between bars, as generators of cars draw them
    /// (`cars_encode` of e4e and ReStyle). Only encoders of the pSp family have it.
    MiddleRows,
}

impl EncoderFrame {
    fn is_whole(&self) -> bool {
        *self == Self::Whole
    }
}

/// Inversion encoders this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderArchitecture {
    /// A residual trunk to a base w and a delta for each W+ layer.
    ResidualWPlus,
    /// Encoder4Editing (Tov et al. 2021): the first latent, and its difference to each other. The tensors of this one and the next
    /// three tell the trunk, IR-SE50 or ResNet34, and whether a feature pyramid is on it.
    E4e,
    /// pSp (Richardson et al. 2021): the same tensors, each latent on its own, or one for all.
    Psp,
    /// ReStyle over pSp (Alaluf et al. 2021): image and present reconstruction in, a correction of each latent out.
    RestylePsp,
    /// ReStyle over e4e.
    RestyleE4e,
}

/// `[clip]` and `[clip_second]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Which network the tensors form.
    pub architecture: ClipArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type.
    pub dtype: Dtype,
    /// The non-linearity of the MLPs, which the tensors do not tell.
    pub activation: Activation,
    /// Heads of the image tower's attention, where they are not 64 wide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_heads: Option<u32>,
    /// Heads of the text tower's attention, where they are not 64 wide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_heads: Option<u32>,
    /// Tokens a text may have, start and end included.
    pub context: u32,
    /// How a generated image becomes the image tower's input.
    pub preprocess: Preprocess,
    /// The tokenizer's merges, in OpenAI's file format.
    pub merges: FileRef,
}

/// CLIPs this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipArchitecture {
    /// Vision transformer and text transformer with OpenAI's names.
    OpenaiVit,
    /// OpenAI's modified ResNet and a text transformer, with OpenAI's names.
    OpenaiResnet,
}

/// Non-linearity of CLIP's MLPs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`: OpenAI's weights.
    QuickGelu,
    /// The exact GELU: most of open_clip's weights.
    Gelu,
}

/// From generator pixels to CLIP pixels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// How the size is changed.
    pub resize: Resize,
    /// How the values are changed.
    pub normalise: Normalise,
}

/// How images are brought to CLIP's size. Scores under different resizes cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// The sizes are equal.
    None,
    /// Exact area average (StyleCLIP: nearest x7, then average pooling).
    Area,
    /// Bicubic with antialiasing (OpenAI's evaluation, torchvision since 0.17).
    BicubicAa,
    /// Bicubic without antialiasing (torchvision on tensors before 0.17, as CF-CLIP was trained).
    Bicubic,
}

/// How pixel values in [-1, 1] are brought to CLIP's range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// To [0, 1], then OpenAI's per-channel mean and deviation.
    ClipMeanStd,
    /// Left in [-1, 1].
    SignedUnit,
}

/// A file that is not a weights file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// `[judge]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// Which network the tensors form.
    pub architecture: JudgeArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type.
    pub dtype: Dtype,
    /// The attributes, in order; classes are in the order of the head's outputs.
    pub heads: Vec<Head>,
    /// Texts whose success the judge can read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
}

/// Judges this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeArchitecture {
    /// A convolutional trunk with one linear head per attribute.
    AttributeCnn,
}

/// One attribute of the judge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The attribute; its tensors are `heads.<name>.weight` and `.bias`.
    pub name: String,
    /// Its values, in the order of the outputs.
    pub classes: Vec<String>,
}

/// How the judge reads the edits of one text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The edit's text, exactly.
    pub text: String,
    /// The head that must change.
    pub head: String,
    /// The class it must say for success.
    pub class: String,
    /// Further heads that may change with it, because the generator ties them together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// Name of the image region that may change, for datasets that come with region masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl Judge {
    /// How edits with this text are read, if the pack says.
    pub fn target(&self, text: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.text == text)
    }
}

/// What a file of the pack is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Weights of the generator.
    Generator,
    /// Weights of the inversion encoder.
    Encoder,
    /// Weights of the CLIP that edits are optimised against.
    Clip,
    /// Merges of its tokenizer.
    ClipMerges,
    /// Weights of the second CLIP.
    ClipSecond,
    /// Merges of its tokenizer.
    ClipSecondMerges,
    /// Weights of the judge.
    Judge,
    /// Weights of the identity network.
    Identity,
    /// Weights of the perceptual network.
    Perceptual,
    /// Weights of the face detector.
    Detector,
}

impl Role {
    /// The key in `pack.toml`, also the name in records: `generator`, `clip.merges`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::Encoder => "encoder",
            Self::Clip => "clip",
            Self::ClipMerges => "clip.merges",
            Self::ClipSecond => "clip_second",
            Self::ClipSecondMerges => "clip_second.merges",
            Self::Judge => "judge",
            Self::Identity => "identity",
            Self::Perceptual => "perceptual",
            Self::Detector => "detector",
        }
    }

    /// What the part is used for, in a few words.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Generator => "draws the edited images",
            Self::Encoder => "finds an image's latent",
            Self::Clip => "guides the edits by their text",
            Self::ClipMerges => "cuts texts into its tokens",
            Self::ClipSecond => "second opinion, never optimised against",
            Self::ClipSecondMerges => "cuts texts into its tokens",
            Self::Judge => "scores the edits, never optimised against",
            Self::Identity => "tells whether a face is still the same",
            Self::Perceptual => "tells how differently two images look",
            Self::Detector => "finds the face in a photograph",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// One file of a pack, as the manifest names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PackFile<'a> {
    /// What it is for.
    pub role: Role,
    /// Its name, relative to the pack's folder; always a plain path inside it.
    pub file: &'a str,
    /// The digest it must have.
    pub sha256: Digest,
    /// Its element type, if it is a weights file.
    pub dtype: Option<Dtype>,
}

impl Manifest {
    /// Reads and checks the text of a `pack.toml`. No file is looked at, so a service can do this with text alone.
    ///
    /// # Errors
    /// Names the key (and line) that is wrong.
    pub fn from_toml(text: &str) -> Result<Self, PackError> {
        // The format comes first: a later format may well have keys that this version does not know.
        let table: toml::Table = toml::from_str(text).map_err(|e| PackError::Parse(Box::new(e)))?;
        match table.get("format") {
            Some(toml::Value::Integer(format)) if *format == i64::from(FORMAT) => {}
            other => {
                let found = other.map_or_else(|| "missing".to_owned(), ToString::to_string);
                return Err(PackError::Format { found, known: FORMAT });
            }
        }
        let manifest: Self = toml::from_str(text).map_err(|e| PackError::Parse(Box::new(e)))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The identity of the pack: SHA-256 over the canonical JSON of the manifest, which holds the digest of every file. It does
    /// not depend on where the folder lies, on comments, or on the order of keys.
    pub fn digest(&self) -> Digest {
        // Safe because check() admits only finite numbers and every map key is a field name.
        domain::digest_of(self).expect("a checked manifest has canonical JSON")
    }

    /// Every file with its role, weights and merges, in a fixed order. Two roles may share a file.
    pub fn files(&self) -> Vec<PackFile<'_>> {
        fn weights<'a>(role: Role, file: &'a str, sha256: Digest, dtype: Dtype) -> PackFile<'a> {
            PackFile { role, file, sha256, dtype: Some(dtype) }
        }
        let g = &self.generator;
        let mut files = vec![weights(Role::Generator, &g.file, g.sha256, g.dtype)];
        files.extend(self.encoder.iter().map(|e| weights(Role::Encoder, &e.file, e.sha256, e.dtype)));
        let second = self.clip_second.iter().map(|c| (Role::ClipSecond, Role::ClipSecondMerges, c));
        for (role, merges, clip) in std::iter::once((Role::Clip, Role::ClipMerges, &self.clip)).chain(second) {
            files.push(weights(role, &clip.file, clip.sha256, clip.dtype));
            files.push(PackFile { role: merges, file: &clip.merges.file, sha256: clip.merges.sha256, dtype: None });
        }
        files.extend(self.judge.iter().map(|j| weights(Role::Judge, &j.file, j.sha256, j.dtype)));
        files.extend(self.identity.iter().map(|i| weights(Role::Identity, &i.file, i.sha256, i.dtype)));
        files.extend(self.perceptual.iter().map(|p| weights(Role::Perceptual, &p.file, p.sha256, p.dtype)));
        files.extend(self.detector.iter().map(|d| weights(Role::Detector, &d.file, d.sha256, d.dtype)));
        files
    }
}
