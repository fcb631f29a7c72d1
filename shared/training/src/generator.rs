//! The StyleGAN2 generator in training: start values, and the project's own network on them.

use networks::stylegan2::Generator;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind};

use crate::error::TrainingError;
use crate::parameters::Parameters;

/// Learning-rate multiplier of the mapping layers, as the network applies it.
const MAPPING_LR: f64 = 0.01;

/// Sizes of the generator.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GeneratorSettings {
    /// Size of z and w.
    pub w_dim: i64,
    /// Layers of the mapping.
    pub mapping_layers: usize,
    /// Channels at 4 px, 8 px and so on; as many as it takes to reach the pictures' size.
    pub channels: Vec<i64>,
}

impl Default for GeneratorSettings {
    fn default() -> Self {
        GeneratorSettings { w_dim: 128, mapping_layers: 4, channels: vec![128, 128, 96, 48, 24] }
    }
}

impl GeneratorSettings {
    /// Height and width of the pictures, px.
    pub fn side(&self) -> i64 {
        4 << (self.channels.len().max(1) - 1)
    }

    /// Latents in W+.
    pub fn layers(&self) -> i64 {
        2 * self.channels.len() as i64
    }

    /// Random values under the names of a generator's file. Noise strengths are zero and stay so: a drawing has no
    /// stochastic detail, and one latent gives one picture.
    pub fn initial(&self, device: Device) -> Result<Parameters, TrainingError> {
        let mut p = Parameters::new(device);
        for layer in 1..=self.mapping_layers {
            p.normal(&format!("style.{layer}.weight"), &[self.w_dim, self.w_dim], 1.0 / MAPPING_LR)?;
            p.constant(&format!("style.{layer}.bias"), &[self.w_dim], 0.0)?;
        }
        let bottom = self.channels[0];
        p.normal("input.input", &[1, bottom, 4, 4], 1.0)?;
        self.styled(&mut p, "conv1", bottom, bottom)?;
        self.to_rgb(&mut p, "to_rgb1", bottom)?;
        for (level, pair) in self.channels.windows(2).enumerate() {
            self.styled(&mut p, &format!("convs.{}", 2 * level), pair[0], pair[1])?;
            self.styled(&mut p, &format!("convs.{}", 2 * level + 1), pair[1], pair[1])?;
            self.to_rgb(&mut p, &format!("to_rgbs.{level}"), pair[1])?;
        }
        p.buffer("latent_avg", &[self.w_dim], 0.0)?;
        Ok(p)
    }

    fn styled(&self, p: &mut Parameters, name: &str, inputs: i64, outputs: i64) -> Result<(), TrainingError> {
        p.normal(&format!("{name}.conv.weight"), &[1, outputs, inputs, 3, 3], 1.0)?;
        self.affine(p, &format!("{name}.conv.modulation"), inputs)?;
        p.buffer(&format!("{name}.noise.weight"), &[1], 0.0)?;
        p.constant(&format!("{name}.activate.bias"), &[outputs], 0.0)
    }

    fn to_rgb(&self, p: &mut Parameters, name: &str, inputs: i64) -> Result<(), TrainingError> {
        p.normal(&format!("{name}.conv.weight"), &[1, 3, inputs, 1, 1], 1.0)?;
        self.affine(p, &format!("{name}.conv.modulation"), inputs)?;
        p.constant(&format!("{name}.bias"), &[1, 3, 1, 1], 0.0)
    }

    fn affine(&self, p: &mut Parameters, name: &str, channels: i64) -> Result<(), TrainingError> {
        p.normal(&format!("{name}.weight"), &[channels, self.w_dim], 1.0)?;
        p.constant(&format!("{name}.bias"), &[channels], 1.0)
    }
}

/// The project's generator on the parameters, through which gradients reach them; convolutions in `kind`.
pub fn network(parameters: &Parameters, kind: Kind) -> Result<Generator, TrainingError> {
    Ok(Generator::load(parameters.differentiable(kind)?)?.0)
}

/// Whether a parameter belongs to the mapping z -> w.
pub fn is_mapping(name: &str) -> bool {
    name.starts_with("style.")
}
