//! One name for both families of generators. What StyleGAN3 does not have (noise, an image at every level, weights that a
//! low-rank change was written for) is an error that says so, or nothing where nothing is the truth.

use tch::{Device, Tensor};

use crate::error::{LoadError, NetworkError};
use crate::stylegan2::{self, Delta};
use crate::stylegan3;
use crate::weights::{LoadReport, Weights};

/// Which generator a file holds, and what its tensors do not tell.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GeneratorSettings {
    /// StyleGAN2 and StyleGAN2-ADA.
    StyleGan2(stylegan2::GeneratorConfig),
    /// StyleGAN3, T and R.
    StyleGan3(stylegan3::Config),
}

impl Default for GeneratorSettings {
    /// A StyleGAN2 without a bound on activations.
    fn default() -> Self {
        GeneratorSettings::StyleGan2(stylegan2::GeneratorConfig::default())
    }
}

/// A frozen generator of either family. Gradients flow to latents, and in StyleGAN2 to noise and changes of weights.
#[derive(Debug)]
pub enum Generator {
    /// StyleGAN2.
    StyleGan2(stylegan2::Generator),
    /// StyleGAN3.
    StyleGan3(stylegan3::Generator),
}

/// Calls a method that both have.
macro_rules! either {
    ($self:ident, $generator:ident => $call:expr) => {
        match $self {
            Generator::StyleGan2($generator) => $call,
            Generator::StyleGan3($generator) => $call,
        }
    };
}

const NETWORK: &str = "StyleGAN3 generator";

impl Generator {
    /// Builds the generator that `settings` names from all of the file's tensors.
    ///
    /// # Errors
    /// As the family's own `load`.
    pub fn load(weights: Weights, settings: GeneratorSettings) -> Result<(Self, LoadReport), LoadError> {
        match settings {
            GeneratorSettings::StyleGan2(config) => {
                let (generator, report) = stylegan2::Generator::load_with(weights, config)?;
                Ok((Generator::StyleGan2(generator), report))
            }
            GeneratorSettings::StyleGan3(config) => {
                let (generator, report) = stylegan3::Generator::load(weights, config)?;
                Ok((Generator::StyleGan3(generator), report))
            }
        }
    }

    /// Latents in W+ (the `L` of `[B, L, w_dim]`).
    pub fn n_latent(&self) -> i64 {
        either!(self, g => g.n_latent())
    }

    /// Size of z.
    pub fn z_dim(&self) -> i64 {
        either!(self, g => g.z_dim())
    }

    /// Size of w.
    pub fn w_dim(&self) -> i64 {
        either!(self, g => g.w_dim())
    }

    /// Height and width of the image, px.
    pub fn resolution(&self) -> i64 {
        either!(self, g => g.resolution())
    }

    /// The device the generator computes on.
    pub fn device(&self) -> Device {
        either!(self, g => g.device())
    }

    /// The mean of w, `[w_dim]`, where the checkpoint has it.
    pub fn latent_avg(&self) -> Option<&Tensor> {
        either!(self, g => g.latent_avg())
    }

    /// Maps `z` `[B, z_dim]` to `w` `[B, w_dim]`.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn map(&self, z: &Tensor) -> Result<Tensor, NetworkError> {
        either!(self, g => g.map(z))
    }

    /// The truncation trick: see the family's own.
    ///
    /// # Errors
    /// When the shape is wrong, or the checkpoint has no mean latent.
    pub fn truncate(&self, w: &Tensor, psi: f64) -> Result<Tensor, NetworkError> {
        either!(self, g => g.truncate(w, psi))
    }

    /// Repeats `w` `[B, w_dim]` for every layer: W+ `[B, L, w_dim]` (a view).
    ///
    /// # Errors
    /// When the shape is wrong.
    pub fn broadcast(&self, w: &Tensor) -> Result<Tensor, NetworkError> {
        either!(self, g => g.broadcast(w))
    }

    /// Renders W+ `[B, L, w_dim]` to images `[B, 3, R, R]`, RGB, nominally in [-1, 1] but not clamped.
    ///
    /// # Errors
    /// When the shape is wrong or memory runs out.
    pub fn synthesize(&self, w_plus: &Tensor) -> Result<Tensor, NetworkError> {
        either!(self, g => g.synthesize(w_plus))
    }

    /// The image at a lower level, `[B, 3, r, r]`: see [`stylegan2::Generator::synthesize_at`].
    ///
    /// # Errors
    /// When there is no such level; StyleGAN3 has none but its own.
    pub fn synthesize_at(&self, w_plus: &Tensor, resolution: i64) -> Result<Tensor, NetworkError> {
        match self {
            Generator::StyleGan2(generator) => generator.synthesize_at(w_plus, resolution),
            Generator::StyleGan3(generator) if resolution == generator.resolution() => generator.synthesize(w_plus),
            Generator::StyleGan3(_) => {
                Err(unsupported("has no image at a lower resolution; leave guide_resolution out"))
            }
        }
    }

    /// Renders with the caller's noise, `noise_shapes` of it: see [`stylegan2::Generator::synthesize_with`].
    ///
    /// # Errors
    /// When a shape is wrong, there is no such level, or memory runs out.
    pub fn synthesize_with(
        &self,
        w_plus: &Tensor,
        noise: &[Tensor],
        resolution: Option<i64>,
    ) -> Result<Tensor, NetworkError> {
        match self {
            Generator::StyleGan2(generator) => generator.synthesize_with(w_plus, noise, resolution),
            Generator::StyleGan3(_) if !noise.is_empty() => Err(unsupported("has no noise")),
            Generator::StyleGan3(generator) => self.synthesize_at(w_plus, resolution.unwrap_or(generator.resolution())),
        }
    }

    /// The fixed noise of each layer; none in StyleGAN3.
    pub fn noise(&self) -> Vec<Tensor> {
        match self {
            Generator::StyleGan2(generator) => generator.noise(),
            Generator::StyleGan3(_) => Vec::new(),
        }
    }

    /// Its shapes.
    pub fn noise_shapes(&self) -> Vec<[i64; 4]> {
        match self {
            Generator::StyleGan2(generator) => generator.noise_shapes(),
            Generator::StyleGan3(_) => Vec::new(),
        }
    }

    /// The convolutions that a [`Delta`] may change, `(name, [out, in, k, k])`; none in StyleGAN3.
    pub fn convolutions(&self) -> Vec<(String, Vec<i64>)> {
        match self {
            Generator::StyleGan2(generator) => generator.convolutions(),
            Generator::StyleGan3(_) => Vec::new(),
        }
    }

    /// The generator with changed weights: see [`stylegan2::Generator::with_delta`].
    ///
    /// # Errors
    /// When the change does not fit, or the generator is a StyleGAN3.
    pub fn with_delta(&self, delta: &Delta) -> Result<Self, NetworkError> {
        match self {
            Generator::StyleGan2(generator) => generator.with_delta(delta).map(Generator::StyleGan2),
            Generator::StyleGan3(_) => Err(unsupported("cannot be tuned to an image; invert without `pivotal`")),
        }
    }
}

fn unsupported(reason: &'static str) -> NetworkError {
    NetworkError::Unsupported { network: NETWORK, reason }
}
