//! Inversion encoders: an image to a W+ latent.
//!
//! The project's own small one ([`residual`]), and those of the pSp family as they are published ([`style`]): pSp, e4e, and
//! ReStyle over either, which look at the image again beside what the generator made of the latent so far.

mod residual;
mod style;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use self::residual::ResidualEncoder;
use self::style::StyleEncoder;
use crate::error::{LoadError, NetworkError};
use crate::weights::{LoadReport, Weights};

/// Which network the tensors form. Those of pSp and e4e are the same and mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderArchitecture {
    /// A base w and a delta for each layer, on a small residual trunk.
    #[default]
    ResidualWPlus,
    /// Encoder4Editing: IR-SE50 with a feature pyramid; the first latent, and the difference of each other to it.
    ///
    /// Names: the trunk's, as [`crate::IdentityArchitecture::IrSe50`] has them (`input_layer`, `body`) or as ReStyle's
    /// encoders on ResNet34 have them (`conv1`, `bn1`, `relu`, `body`); `styles.{i}.convs.{0,2,4,..}.{weight,bias}` and
    /// `styles.{i}.linear.{weight,bias}` for each latent; `latlayer{1,2}.{weight,bias}`; `latent_avg` `[L, w_dim]`, which
    /// the original keeps beside the state dict. Widths and the number of latents are the file's.
    E4e,
    /// pSp: the same network, each latent on its own. Also its encoder into W, which has `linear.{weight,bias}` in place of
    /// `styles` and `latlayer`, and gives all layers one latent.
    Psp,
    /// ReStyle over pSp: a correction of every latent from image and reconstruction, all from the 16x16 map where the file
    /// has no `latlayer`.
    RestylePsp,
    /// ReStyle over e4e.
    RestyleE4e,
}

/// The part of a square image that an encoder of the pSp family reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderFrame {
    /// All of it, 256x256 px.
    #[default]
    Whole,
    /// Rows 32 to 224 of 256, all columns: landscapes of 4:3 between bars, as generators of cars draw them (`cars_encode`
    /// of e4e and ReStyle, which read 192x256 px).
    MiddleRows,
}

/// A frozen inversion encoder. Gradients flow to the images.
#[derive(Debug)]
pub struct Encoder(Network);

#[derive(Debug)]
enum Network {
    Residual(ResidualEncoder),
    Style(StyleEncoder),
}

impl Encoder {
    /// Builds the encoder from all of the file's tensors, as [`Encoder::load_framed`] for whole images.
    ///
    /// # Errors
    /// Names the tensor that is missing, surplus or of another shape.
    pub fn load(weights: Weights, architecture: EncoderArchitecture) -> Result<(Self, LoadReport), LoadError> {
        Encoder::load_framed(weights, architecture, EncoderFrame::Whole)
    }

    /// Builds the encoder from all of the file's tensors. Sizes are the file's; what it reads of an image is not.
    ///
    /// # Errors
    /// Names the tensor that is missing, surplus or of another shape, or a frame that the architecture does not have.
    pub fn load_framed(
        weights: Weights,
        architecture: EncoderArchitecture,
        frame: EncoderFrame,
    ) -> Result<(Self, LoadReport), LoadError> {
        if architecture == EncoderArchitecture::ResidualWPlus {
            if frame != EncoderFrame::Whole {
                let reason = "is middle-rows, but the project's own encoder reads whole images";
                return Err(weights.setting_error("frame", reason));
            }
            let (encoder, report) = ResidualEncoder::load(weights)?;
            return Ok((Encoder(Network::Residual(encoder)), report));
        }
        let (encoder, report) = StyleEncoder::load(weights, architecture, frame)?;
        Ok((Encoder(Network::Style(encoder)), report))
    }

    /// Height and width of the images it reads, px.
    pub fn image_size(&self) -> i64 {
        match &self.0 {
            Network::Residual(encoder) => encoder.image_size(),
            Network::Style(_) => style::IMAGE_SIZE,
        }
    }

    /// Layers of the W+ latent it returns.
    pub fn n_latent(&self) -> i64 {
        match &self.0 {
            Network::Residual(encoder) => encoder.n_latent(),
            Network::Style(encoder) => encoder.n_latent(),
        }
    }

    /// Size of one latent.
    pub fn w_dim(&self) -> i64 {
        match &self.0 {
            Network::Residual(encoder) => encoder.w_dim(),
            Network::Style(encoder) => encoder.w_dim(),
        }
    }

    /// The device the encoder computes on.
    pub fn device(&self) -> Device {
        match &self.0 {
            Network::Residual(encoder) => encoder.device(),
            Network::Style(encoder) => encoder.device(),
        }
    }

    /// Inverts images `[B, 3, S, S]`, RGB in [-1, 1], to W+ `[B, L, w_dim]`, without a generator.
    ///
    /// # Errors
    /// When the shape is wrong, or the encoder is ReStyle's: see [`Encoder::encode_with`].
    pub fn encode(&self, images: &Tensor) -> Result<Tensor, NetworkError> {
        self.encode_with(images, &|_| {
            let reason = "looks at its own reconstructions; give it the generator";
            Err(NetworkError::Unsupported { network: "ReStyle encoder", reason })
        })
    }

    /// Inverts images `[B, 3, S, S]`, RGB in [-1, 1], to W+ `[B, L, w_dim]`. ReStyle's calls `render` once an iteration for the
    /// images `[B, 3, R, R]` of its latents so far, of any size of at least S.
    ///
    /// # Errors
    /// When the shape is wrong, or rendering fails.
    pub fn encode_with(
        &self,
        images: &Tensor,
        render: &dyn Fn(&Tensor) -> Result<Tensor, NetworkError>,
    ) -> Result<Tensor, NetworkError> {
        match &self.0 {
            Network::Residual(encoder) => encoder.encode(images),
            Network::Style(encoder) => encoder.encode(images, render),
        }
    }
}
