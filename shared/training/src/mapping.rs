//! The mapping z -> w, fitted to the base latents that an encoder gives to drawn faces: by their energy distance (Székely
//! and Rizzo, 2013, <https://doi.org/10.1016/j.jspi.2013.03.018>), and later by an adversary on latents as well.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::adam::{Adam, AdamSettings, gradients};
use crate::augment::normal;
use crate::dataset::Pictures;
use crate::encoder::EncoderNetwork;
use crate::error::TrainingError;
use crate::generator::{is_mapping, network};
use crate::layers::{leaky_relu, linear};
use crate::parameters::{Average, Parameters};
use crate::reconstruction::rows;
use crate::session::{Losses, Part};

/// Course of the mapping's training.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MappingSettings {
    /// Steps; 0 leaves this part out.
    pub steps: u64,
    /// Latents a step.
    pub batch: i64,
    /// The mapping's optimiser. Its layers have a multiplier of 0.01, so the rate is high.
    pub mapping: AdamSettings,
    /// The adversary's.
    pub adversary: AdamSettings,
    /// Width of the adversary's three layers.
    pub adversary_width: i64,
    /// Weight of the energy distance.
    pub energy: f64,
    /// Weight of the adversary's opinion.
    pub adversarial: f64,
    /// Step from which the adversary's opinion counts.
    pub adversarial_from: u64,
}

impl Default for MappingSettings {
    fn default() -> Self {
        MappingSettings {
            steps: 6000,
            batch: 256,
            mapping: AdamSettings { lr: 0.4, betas: [0.5, 0.99], weight_decay: 0.0, clip: 0.0 },
            adversary: AdamSettings { lr: 3e-4, betas: [0.0, 0.99], weight_decay: 0.0, clip: 0.0 },
            adversary_width: 384,
            energy: 3.0,
            adversarial: 0.2,
            adversarial_from: 1200,
        }
    }
}

/// R1 on latents, every fourth step.
const R1_EVERY: u64 = 4;

/// The mapping in training; the rest of the generator does not move.
pub struct MappingTraining {
    settings: MappingSettings,
    generator: Parameters,
    average: Average,
    adam: Adam,
    adversary: Parameters,
    adversary_adam: Adam,
    /// Base latents of the pictures, and what brings them to mean 0 and deviation 1.
    latents: Tensor,
    mean: Tensor,
    deviation: Tensor,
}

impl MappingTraining {
    /// Encodes all pictures, then is ready.
    pub fn new(
        settings: &MappingSettings,
        generator: Parameters,
        encoder: &EncoderNetwork,
        pictures: &Pictures,
        seed: u64,
    ) -> Result<Self, TrainingError> {
        tch::manual_seed(seed as i64);
        let device = generator.device();
        let latents = {
            let _frozen = tch::no_grad_guard();
            let mut all = Vec::new();
            for from in (0..pictures.len()).step_by(256) {
                let x = pictures.range(from, 256.min(pictures.len() - from), device)?;
                all.push(encoder.forward(&x, false, Kind::Float)?.0);
            }
            Tensor::f_cat(&all, 0)?
        };
        let mean = latents.f_mean_dim([0].as_slice(), false, Kind::Float)?;
        let deviation = latents.f_std_dim([0].as_slice(), true, false)?.f_clamp_min(1e-3)?;
        tch::no_grad(|| generator.get("latent_avg").shallow_clone().f_copy_(&mean))?;
        let mut adversary = Parameters::new(device);
        let (w, h) = (mean.size()[0], settings.adversary_width);
        for (name, shape) in [("0", [h, w]), ("1", [h, h]), ("2", [h, h]), ("3", [1, h])] {
            adversary.layer(name, &shape, 1.0)?;
        }
        Ok(MappingTraining {
            settings: settings.clone(),
            average: Average::of(&generator)?,
            adam: Adam::new(&generator, settings.mapping, is_mapping)?,
            adversary_adam: Adam::new(&adversary, settings.adversary, |_| true)?,
            generator,
            adversary,
            latents,
            mean,
            deviation,
        })
    }

    /// The generator with the averaged mapping.
    pub fn finish(self) -> Result<Parameters, TrainingError> {
        self.average.into_parameters(&self.generator)?;
        Ok(self.generator)
    }

    fn normalised(&self, w: &Tensor) -> Result<Tensor, TrainingError> {
        Ok(w.f_sub(&self.mean)?.f_div(&self.deviation)?)
    }

    fn score(&self, w: &Tensor) -> Result<Tensor, TrainingError> {
        let mut x = w.shallow_clone();
        for layer in ["0", "1", "2"] {
            x = leaky_relu(&linear(&self.adversary, layer, &x)?)?;
        }
        Ok(linear(&self.adversary, "3", &x)?)
    }

    fn sampled(&self) -> Result<Tensor, TrainingError> {
        let generator = network(&self.generator, Kind::Float)?;
        let z = normal(&[self.settings.batch, generator.w_dim()], self.generator.device())?;
        self.normalised(&generator.map(&z)?)
    }
}

/// `2 E|a - b| - E|a - a'| - E|b - b'|`, zero only for equal distributions.
fn energy_distance(a: &Tensor, b: &Tensor) -> Result<Tensor, TrainingError> {
    let mean = |a: &Tensor, b: &Tensor| Tensor::f_cdist(a, b, 2.0, None::<i64>)?.f_mean(Kind::Float);
    Ok(mean(a, b)?.f_multiply_scalar(2.0)?.f_sub(&mean(a, a)?)?.f_sub(&mean(b, b)?)?)
}

impl Part for MappingTraining {
    fn name(&self) -> &'static str {
        "mapping"
    }

    fn step(&mut self, step: u64, _: u64, rng: &mut ChaCha8Rng) -> Result<Losses, TrainingError> {
        let batch = self.settings.batch;
        let real = self.normalised(&rows(&self.latents, batch, rng)?)?.f_set_requires_grad(true)?;
        let on_real = self.score(&real)?;
        let on_fake = self.score(&self.sampled()?.f_detach()?)?;
        let fake_loss = on_fake.f_softplus()?.f_mean(Kind::Float)?;
        let mut loss = on_real.f_neg()?.f_softplus()?.f_mean(Kind::Float)?.f_add(&fake_loss)?;
        if step.is_multiple_of(R1_EVERY) {
            let total = on_real.f_sum(Kind::Float)?;
            let gradient = Tensor::f_run_backward(&[total], &[&real], true, true)?.swap_remove(0);
            let penalty = gradient.f_square()?.f_sum_dim_intlist([1].as_slice(), false, None)?.f_mean(Kind::Float)?;
            loss = loss.f_add(&penalty.f_multiply_scalar(0.25 * R1_EVERY as f64)?)?;
        }
        let adversary_loss = loss.f_double_value(&[])?;
        let told = gradients(&loss, &self.adversary_adam.inputs(&self.adversary))?;
        self.adversary_adam.step(&self.adversary, &told, step + 1, 1.0)?;

        let fake = self.sampled()?;
        let energy = energy_distance(&fake, &self.normalised(&rows(&self.latents, batch, rng)?)?)?;
        let mut loss = energy.f_multiply_scalar(self.settings.energy)?;
        if step >= self.settings.adversarial_from {
            let fooled = self.score(&fake)?.f_neg()?.f_softplus()?.f_mean(Kind::Float)?;
            loss = loss.f_add(&fooled.f_multiply_scalar(self.settings.adversarial)?)?;
        }
        let told = gradients(&loss, &self.adam.inputs(&self.generator))?;
        self.adam.step(&self.generator, &told, step + 1, 1.0)?;
        self.average.follow(&self.generator, 0.998f64.min((step + 1) as f64 / (step + 10) as f64))?;
        Ok(vec![("energy_distance", energy.f_double_value(&[])?), ("adversary", adversary_loss)])
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let prefixed =
            |prefix: &'static str| move |(name, tensor): (String, Tensor)| (format!("{prefix}/{name}"), tensor);
        let mut state: Vec<_> = self.generator.all().map(prefixed("generator")).collect();
        state.extend(self.average.all().map(prefixed("average")));
        state.extend(self.adam.all().map(prefixed("adam")));
        state.extend(self.adversary.all().map(prefixed("adversary")));
        state.extend(self.adversary_adam.all().map(prefixed("adversary_adam")));
        state
    }
}
