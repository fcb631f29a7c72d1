//! `[identity]` and `[perceptual]`: optional networks that say how far two images are apart.

use super::Dtype;
use domain::Digest;
use serde::{Deserialize, Serialize};

/// `[identity]`: whether two images show the same face. With it jobs may weigh identity in their loss and ask for a floor of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Which network the tensors form.
    pub architecture: IdentityArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type. Batch norm's integer counters (`*.num_batches_tracked`) may stay in the file.
    pub dtype: Dtype,
    /// What it looks at.
    pub input: IdentityInput,
}

/// Identity networks this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityArchitecture {
    /// ArcFace IR-SE50 with the names of `model_ir_se50.pth` (TreB1eN/InsightFace_Pytorch): `input_layer`, `body`, `output_layer`.
    IrSe50,
    /// A small one for small or drawn faces: `body.{i}.conv`, `body.{i}.norm`, `fc`.
    EmbeddingCnn,
}

/// The part of an image that the identity network looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityInput {
    /// The middle of a face that is framed as in FFHQ: rows 35 to 223 and columns 32 to 220 of 256 (pSp, e4e, CF-CLIP).
    FfhqCrop,
    /// All of it: faces that fill the image, and packs of anything but photographed faces.
    WholeImage,
}

/// `[perceptual]`: how differently two images look. Distances are taken at the pack's own image size, without a resize, and
/// those of two architectures cannot be compared.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perceptual {
    /// Which network the tensors form.
    pub architecture: PerceptualArchitecture,
    /// The safetensors file, relative to the pack's folder.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its element type.
    pub dtype: Dtype,
}

/// Perceptual networks this version knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerceptualArchitecture {
    /// LPIPS 0.1 on AlexNet: torchvision's `features.{i}` and the heads `lin{k}.model.1.weight`, in one file.
    LpipsAlex,
    /// LPIPS 0.1 on VGG16: likewise.
    LpipsVgg,
    /// The mean absolute difference at relu5_2 of CF-CLIP's VGG19: `conv1_1` to `conv5_4`.
    #[serde(rename = "vgg19-relu5-2")]
    Vgg19Relu52,
}

impl PerceptualArchitecture {
    /// Height and width of the smallest image it can read, px: below that, its last layer has no pixel left.
    pub const fn smallest_side(self) -> u32 {
        match self {
            Self::LpipsAlex => 31,
            Self::LpipsVgg | Self::Vgg19Relu52 => 16,
        }
    }
}
