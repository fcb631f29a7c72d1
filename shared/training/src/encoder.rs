//! The inversion encoder in training: a base latent and a delta per layer.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::TrainingError;
use crate::layers::{batch_norm, convolution, leaky_relu, linear};
use crate::parameters::Parameters;

/// Sizes of the encoder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderSettings {
    /// Channels of the stem and of the residual blocks; each halves the resolution.
    pub channels: Vec<i64>,
    /// Width of the layer below the two heads.
    pub hidden: i64,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        EncoderSettings { channels: vec![32, 64, 96, 160], hidden: 512 }
    }
}

/// An encoder whose parameters have the names of an encoder's file.
pub struct EncoderNetwork {
    /// The tensors.
    pub parameters: Parameters,
    blocks: usize,
    layers: i64,
    w_dim: i64,
}

impl EncoderNetwork {
    /// Random values, except for the deltas' head, which starts at zero: every layer gets the base latent.
    pub fn new(
        settings: &EncoderSettings,
        side: i64,
        layers: i64,
        w_dim: i64,
        device: Device,
    ) -> Result<Self, TrainingError> {
        let Some((&stem, blocks)) = settings.channels.split_first() else {
            let expected = "it must name the stem's channels at least";
            return Err(TrainingError::Recipe { key: "encoder.channels", value: "[]".to_owned(), expected });
        };
        let mut p = Parameters::new(device);
        p.layer("stem", &[stem, 3, 4, 4], 2.0)?;
        let mut inputs = stem;
        for (block, &outputs) in blocks.iter().enumerate() {
            let block = format!("body.{block}");
            p.layer(&format!("{block}.c1"), &[inputs, inputs, 3, 3], 2.0)?;
            p.batch_norm(&format!("{block}.b1"), inputs)?;
            p.layer(&format!("{block}.c2"), &[outputs, inputs, 3, 3], 2.0)?;
            p.batch_norm(&format!("{block}.b2"), outputs)?;
            p.normal(&format!("{block}.sk.weight"), &[outputs, inputs, 1, 1], (inputs as f64).powf(-0.5))?;
            inputs = outputs;
        }
        let last = side >> settings.channels.len();
        p.layer("fc", &[settings.hidden, inputs * last * last], 2.0)?;
        p.layer("w", &[w_dim, settings.hidden], 0.33)?;
        p.constant("delta.weight", &[w_dim * layers, settings.hidden], 0.0)?;
        p.constant("delta.bias", &[w_dim * layers], 0.0)?;
        p.buffer("w_avg", &[w_dim], 0.0)?;
        Ok(EncoderNetwork { parameters: p, blocks: blocks.len(), layers, w_dim })
    }

    /// `x` `[B, 3, S, S]` -> the base `[B, w]` and the deltas `[B, L, w]`, in 32 bits; convolutions in `kind`.
    pub fn forward(&self, x: &Tensor, training: bool, kind: Kind) -> Result<(Tensor, Tensor), TrainingError> {
        let p = &self.parameters;
        let pool = |x: &Tensor| x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None);
        let mut x = leaky_relu(&convolution(p, "stem", x, 2, 1, kind)?)?;
        for block in 0..self.blocks {
            let block = format!("body.{block}");
            let y = convolution(p, &format!("{block}.c1"), &x, 1, 1, kind)?;
            let y = leaky_relu(&batch_norm(p, &format!("{block}.b1"), &y, training)?)?;
            let y = pool(&convolution(p, &format!("{block}.c2"), &y, 1, 1, kind)?)?;
            let y = batch_norm(p, &format!("{block}.b2"), &y, training)?;
            x = leaky_relu(&y.f_add(&convolution(p, &format!("{block}.sk"), &pool(&x)?, 1, 0, kind)?)?)?;
        }
        let h = leaky_relu(&linear(p, "fc", &x.f_flatten(1, -1)?)?)?;
        let base = linear(p, "w", &h)?.f_add(p.get("w_avg"))?;
        let delta = linear(p, "delta", &h)?.f_view([-1, self.layers, self.w_dim])?;
        Ok((base, delta))
    }
}
