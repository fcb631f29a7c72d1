//! CLIP in OpenAI's tensor names, with a vision transformer or a modified ResNet: images and texts to one embedding
//! space.
//!
//! Every size is read from the file's shapes. Only what no shape shows must be told: the activation, where the wrong one
//! changes the features a lot, and the number of heads where they are not 64 wide. The network is frozen: gradients flow
//! through it to the pixels, never into its weights. Items of a batch do not see each other.
//!
//! Reference: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", the `CLIP`
//! class of OpenAI's `model.py`, and open_clip's class of the same name. Variants of the latter whose text ends at
//! another token than the highest, or that average patches (CLIPA, CoCa), are not computed here.

mod image;
mod preprocess;
mod resnet;
mod text;
mod transformer;
mod vit;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub use self::image::VisionShape;
pub use self::preprocess::{Normalise, Preprocess, Preprocessor, Resize};

use self::image::ImageTower;
use self::text::TextTower;
use crate::error::{LoadError, NetworkError};
use crate::shape::expect;
use crate::weights::{LoadReport, Weights};

const NETWORK: &str = "CLIP";

/// Integers that OpenAI's archives store beside the parameters; the shapes say the same.
const OPENAI_CONSTANTS: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];

/// The non-linearity of the transformers' MLPs. A weights file cannot tell which one it was trained with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x · sigmoid(1.702 x)`: OpenAI's released weights, and open_clip models whose name ends in `-quickgelu`.
    QuickGelu,
    /// `x · Φ(x)`, exact: the other open_clip models.
    Gelu,
}

/// What must be known about a CLIP checkpoint beyond its tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClipConfig {
    /// Activation of the transformers, in both towers. (ResNets have ReLU, always.)
    pub activation: Activation,
    /// Heads of the image tower's attention. Without it they are 64 wide, as in all of OpenAI's models; a vision
    /// transformer wider than 1024 needs it, because open_clip's have 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision_heads: Option<i64>,
    /// Heads of the text tower's attention. Without it they are 64 wide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_heads: Option<i64>,
}

impl ClipConfig {
    /// Heads 64 wide in both towers.
    pub const fn new(activation: Activation) -> Self {
        ClipConfig { activation, vision_heads: None, text_heads: None }
    }
}

/// The sizes of a CLIP, inferred from tensor shapes; the heads also from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClipShape {
    /// Height and width of the input image, px.
    pub image_size: i64,
    /// The image tower.
    pub vision: VisionShape,
    /// Width of the text transformer.
    pub text_width: i64,
    /// Number of text blocks.
    pub text_layers: usize,
    /// Attention heads of each text block.
    pub text_heads: i64,
    /// Tokens per text, start and end included.
    pub context: i64,
    /// Number of token ids.
    pub vocab: i64,
    /// Width of the common embedding space.
    pub embed: i64,
}

impl ClipShape {
    /// What one image leaves in memory while its gradient is computed, in bytes, estimated.
    pub fn gradient_bytes(&self) -> u64 {
        image::gradient_bytes(&self.vision, self.image_size)
    }
}

/// What was loaded, for logs and provenance records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClipReport {
    /// The tensors and their dtypes.
    pub weights: LoadReport,
    /// Tensors of the file that hold no parameters and were left out (`input_resolution`, …).
    pub dropped: Vec<String>,
    /// The inferred sizes.
    pub shape: ClipShape,
    /// The activation that the configuration asked for.
    pub activation: Activation,
}

/// A frozen CLIP on one device.
#[derive(Debug)]
pub struct Clip {
    image: ImageTower,
    text: TextTower,
    logit_scale: f64,
    device: Device,
    kind: Kind,
    shape: ClipShape,
}

impl Clip {
    /// Builds the network and uses up every tensor of `weights`.
    ///
    /// Errors name the tensor that is missing, surplus or of an impossible shape, or the setting that the file needs or
    /// cannot have.
    pub fn load(mut weights: Weights, config: &ClipConfig) -> Result<(Self, ClipReport), LoadError> {
        let dropped = drop_constants(&mut weights)?;
        let [_, embed] = weights.dims("text_projection")?;
        let image = ImageTower::take(&mut weights, embed, config.activation, config.vision_heads)?;
        let text = TextTower::take(&mut weights, embed, config.activation, config.text_heads)?;
        // open_clip can be told to write it as a list of one.
        let listed = weights.shape("logit_scale")? == [1];
        let logit_scale = weights
            .take("logit_scale", if listed { &[1] } else { &[] })?
            .f_sum(Kind::Double)
            .and_then(|scale| scale.f_double_value(&[]))
            .map_err(|source| weights.torch_error("logit_scale", source))?;
        let shape = ClipShape {
            image_size: image.size(),
            vision: image.shape(),
            text_width: text.width,
            text_layers: text.transformer.depth(),
            text_heads: text.transformer.heads(),
            context: text.context,
            vocab: text.vocab,
            embed,
        };
        let (device, kind) = (weights.device(), weights.kind());
        let clip = Clip { image, text, logit_scale, device, kind, shape: shape.clone() };
        Ok((clip, ClipReport { weights: weights.finish()?, dropped, shape, activation: config.activation }))
    }

    /// Embeds images: `pixels` `[B, 3, S, S]`, already preprocessed, on this network's device -> `[B, E]`.
    ///
    /// The features are not normalised. They come in the network's kind; pixels of another kind are converted, and the
    /// gradient comes back in theirs. Errors: another shape, no memory, a failure of libtorch.
    pub fn encode_image(&self, pixels: &Tensor) -> Result<Tensor, NetworkError> {
        let size = Some(self.image.size());
        expect(NETWORK, "pixels", pixels, [None, Some(3), size, size])?;
        Ok(self.image.forward(&pixels.f_to_kind(self.kind)?)?)
    }

    /// Embeds texts: `tokens` `[B, context]` int64, on any device -> `[B, E]`, not normalised.
    ///
    /// The feature is read at the first position of the highest id, which is the end-of-text token; whatever follows it
    /// does not matter. Errors: another shape or kind, an id outside the vocabulary, no memory, a failure of libtorch.
    pub fn encode_text(&self, tokens: &Tensor) -> Result<Tensor, NetworkError> {
        expect(NETWORK, "tokens", tokens, [None, Some(self.text.context)])?;
        if tokens.f_kind()? != Kind::Int64 {
            return Err(NetworkError::Unsupported { network: NETWORK, reason: "token ids must be int64" });
        }
        // Checked here because on a GPU an id out of range would make the whole process's device context unusable.
        let (low, high) = (tokens.f_min()?.f_int64_value(&[])?, tokens.f_max()?.f_int64_value(&[])?);
        if low < 0 || high >= self.text.vocab {
            let reason = "a token id lies outside the vocabulary: the tokenizer belongs to another network";
            return Err(NetworkError::Unsupported { network: NETWORK, reason });
        }
        Ok(self.text.forward(&tokens.f_to_device(self.device)?)?)
    }

    /// Natural logarithm of the trained scale of cosines (OpenAI's end at `ln 100`).
    pub fn logit_scale(&self) -> f64 {
        self.logit_scale
    }

    /// The inferred sizes.
    pub fn shape(&self) -> &ClipShape {
        &self.shape
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.device
    }
}

fn drop_constants(weights: &mut Weights) -> Result<Vec<String>, LoadError> {
    let mut dropped = Vec::new();
    for name in OPENAI_CONSTANTS {
        if !weights.contains(name) {
            continue;
        }
        let shape = weights.shape(name)?;
        if shape.iter().product::<i64>() != 1 {
            return Err(weights.shape_error(name, "a single number", shape));
        }
        drop(weights.take(name, &shape)?);
        dropped.push(name.to_owned());
    }
    Ok(dropped)
}
