//! Adversarial training of the generator: non-saturating loss, lazy R1 and path-length regularisation, style mixing, and an
//! average of the generator's parameters (Karras et al., 2020, <https://arxiv.org/abs/1912.04958>).

use networks::stylegan2::Generator;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::adam::{Adam, AdamSettings, gradients};
use crate::augment::normal;
use crate::dataset::{Order, Pictures};
use crate::discriminator::{Discriminator, r1};
use crate::error::TrainingError;
use crate::generator::network;
use crate::parameters::{Average, Parameters};
use crate::session::{Losses, Part};

/// Course of the adversarial training.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversarialSettings {
    /// Steps; 0 leaves this part out.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// Channels of the discriminator at 4 px, 8 px and so on.
    pub channels: Vec<i64>,
    /// The generator's optimiser.
    pub generator: AdamSettings,
    /// The discriminator's.
    pub discriminator: AdamSettings,
    /// Weight of R1 (gamma).
    pub r1: f64,
    /// Steps between two R1 terms, which count as many times more.
    pub r1_every: u64,
    /// Weight of path-length regularisation; 0 leaves it out.
    pub path_length: f64,
    /// Steps between two path-length terms.
    pub path_every: u64,
    /// Chance that a picture gets the styles of two latents.
    pub mixing: f64,
    /// Pictures after which the average has forgotten half.
    pub average_half_life: f64,
    /// Whether the generator's convolutions compute in 16-bit brain floats.
    pub bf16: bool,
}

impl Default for AdversarialSettings {
    fn default() -> Self {
        // Lazy regularisation: rates and decays of the steps in between (StyleGAN2, appendix B).
        let lazy = 16.0 / 17.0;
        let adam = AdamSettings { lr: 2e-3 * lazy, betas: [0.0, 0.99f64.powf(lazy)], weight_decay: 0.0, clip: 0.0 };
        AdversarialSettings {
            steps: 0,
            batch: 16,
            channels: vec![128, 128, 96, 48, 24],
            generator: adam,
            discriminator: adam,
            r1: 1.0,
            r1_every: 16,
            path_length: 0.0,
            path_every: 4,
            mixing: 0.9,
            average_half_life: 10_000.0,
            bf16: false,
        }
    }
}

/// Decay of the running mean of path lengths.
const PATH_DECAY: f64 = 0.01;
/// Decay of the running mean of w.
const LATENT_DECAY: f64 = 0.005;

/// A generator and its adversary.
pub struct AdversarialTraining<'a> {
    settings: AdversarialSettings,
    generator: Parameters,
    average: Average,
    adam: Adam,
    discriminator: Discriminator,
    adversary: Adam,
    path_mean: Tensor,
    order: Order,
    pictures: &'a Pictures,
}

impl<'a> AdversarialTraining<'a> {
    /// Goes on from `generator`, random or trained by reconstruction.
    pub fn new(
        settings: &AdversarialSettings,
        generator: Parameters,
        pictures: &'a Pictures,
        seed: u64,
    ) -> Result<Self, TrainingError> {
        tch::manual_seed(seed as i64);
        let device = generator.device();
        let discriminator = Discriminator::new(&settings.channels, device)?;
        Ok(AdversarialTraining {
            average: Average::of(&generator)?,
            adam: Adam::new(&generator, settings.generator, |_| true)?,
            adversary: Adam::new(&discriminator.parameters, settings.discriminator, |_| true)?,
            path_mean: Tensor::f_zeros([], (Kind::Float, device))?,
            order: Order::new(seed, pictures.len(), settings.batch)?,
            settings: settings.clone(),
            generator,
            discriminator,
            pictures,
        })
    }

    /// The generator's parameters, averaged: what is shipped.
    pub fn average(&self) -> &Average {
        &self.average
    }

    /// The generator's parameters as they are.
    pub fn generator(&self) -> &Parameters {
        &self.generator
    }

    /// The generator with its averaged parameters.
    pub fn finish(self) -> Result<Parameters, TrainingError> {
        self.average.into_parameters(&self.generator)?;
        Ok(self.generator)
    }

    /// The adversary.
    pub fn discriminator(&self) -> &Discriminator {
        &self.discriminator
    }

    fn network(&self) -> Result<Generator, TrainingError> {
        network(&self.generator, if self.settings.bf16 { Kind::BFloat16 } else { Kind::Float })
    }

    /// Random latents in W+ `[B, L, w]`, some of two styles, split at a random layer.
    fn latents(&self, generator: &Generator, count: i64, rng: &mut ChaCha8Rng) -> Result<Tensor, TrainingError> {
        let (layers, w_dim, device) = (generator.n_latent(), generator.w_dim(), self.generator.device());
        let w = generator.broadcast(&generator.map(&normal(&[count, w_dim], device)?)?)?;
        let other = generator.broadcast(&generator.map(&normal(&[count, w_dim], device)?)?)?;
        let first: Vec<i64> = (0..count)
            .map(|_| if rng.random::<f64>() < self.settings.mixing { rng.random_range(1..layers) } else { layers })
            .collect();
        let first = Tensor::f_from_slice(&first)?.f_to_device(device)?.f_view([count, 1])?;
        let keep = Tensor::f_arange(layers, (Kind::Int64, device))?.f_unsqueeze(0)?.f_lt_tensor(&first)?;
        Ok(w.f_where_self(&keep.f_unsqueeze(-1)?, &other)?)
    }

    fn discriminator_step(&mut self, step: u64, real: &Tensor, rng: &mut ChaCha8Rng) -> Result<Losses, TrainingError> {
        let count = self.settings.batch as i64;
        let fake = {
            let _frozen = tch::no_grad_guard();
            let generator = self.network()?;
            generator.synthesize(&self.latents(&generator, count, rng)?)?
        };
        let on_real = self.discriminator.forward(real)?;
        let on_fake = self.discriminator.forward(&fake)?;
        let told = on_fake.f_softplus()?.f_mean(Kind::Float)?;
        let mut loss = on_real.f_neg()?.f_softplus()?.f_mean(Kind::Float)?.f_add(&told)?;
        let mut losses = vec![
            ("discriminator", loss.f_double_value(&[])?),
            ("score_real", on_real.f_mean(Kind::Float)?.f_double_value(&[])?),
            ("score_fake", on_fake.f_mean(Kind::Float)?.f_double_value(&[])?),
        ];
        if self.settings.r1 > 0.0 && step.is_multiple_of(self.settings.r1_every) {
            let penalty = r1(&self.discriminator, real)?;
            losses.push(("r1", penalty.f_double_value(&[])? * self.settings.r1_every as f64));
            let weight = 0.5 * self.settings.r1 * self.settings.r1_every as f64;
            loss = loss.f_add(&penalty.f_multiply_scalar(weight)?)?;
        } else {
            losses.push(("r1", 0.0)); // the curve's means are over all steps
        }
        let gradients = gradients(&loss, &self.adversary.inputs(&self.discriminator.parameters))?;
        self.adversary.step(&self.discriminator.parameters, &gradients, step + 1, 1.0)?;
        Ok(losses)
    }

    /// The generator's loss: its pictures should be taken for drawn ones.
    pub fn generator_loss(&mut self, step: u64, rng: &mut ChaCha8Rng) -> Result<Tensor, TrainingError> {
        let count = self.settings.batch as i64;
        let generator = self.network()?;
        let latents = self.latents(&generator, count, rng)?;
        let fake = generator.synthesize(&latents)?;
        let mut loss = self.discriminator.forward(&fake)?.f_neg()?.f_softplus()?.f_mean(Kind::Float)?;
        if self.settings.path_length > 0.0 && step.is_multiple_of(self.settings.path_every) {
            let weight = self.settings.path_length * self.settings.path_every as f64;
            loss = loss.f_add(&self.path_penalty(&fake, &latents)?.f_multiply_scalar(weight)?)?;
        }
        Ok(loss)
    }

    /// How far `|Jᵀ y|` is from its running mean, squared: equal steps in W shall be equal changes of the picture.
    fn path_penalty(&mut self, fake: &Tensor, latents: &Tensor) -> Result<Tensor, TrainingError> {
        let pixels = fake.size()[2] * fake.size()[3];
        let direction = normal(&fake.size(), fake.device())?.f_multiply_scalar((pixels as f64).sqrt().recip())?;
        let reached = fake.f_mul(&direction)?.f_sum(Kind::Float)?;
        let gradient = Tensor::f_run_backward(&[reached], &[latents], true, true)?.swap_remove(0);
        let power = gradient.f_square()?.f_sum_dim_intlist([2].as_slice(), false, None)?;
        let length = power.f_mean_dim([1].as_slice(), false, Kind::Float)?.f_sqrt()?;
        let mean = length.f_detach()?.f_mean(Kind::Float)?;
        let _ = tch::no_grad(|| self.path_mean.f_lerp_(&mean, PATH_DECAY))?;
        Ok(length.f_sub(&self.path_mean)?.f_square()?.f_mean(Kind::Float)?)
    }
}

impl Part for AdversarialTraining<'_> {
    fn name(&self) -> &'static str {
        "adversarial"
    }

    fn step(&mut self, step: u64, _: u64, rng: &mut ChaCha8Rng) -> Result<Losses, TrainingError> {
        let device = self.generator.device();
        let real = self.pictures.batch(&self.order.indices(step)?, device)?;
        let mut losses = self.discriminator_step(step, &real, rng)?;
        let loss = self.generator_loss(step, rng)?;
        losses.insert(0, ("generator", loss.f_double_value(&[])?));
        let gradients = gradients(&loss, &self.adam.inputs(&self.generator))?;
        self.adam.step(&self.generator, &gradients, step + 1, 1.0)?;
        let seen = ((step + 1) * self.settings.batch as u64) as f64;
        // The average must not remember the start for long: StyleGAN2-ADA's ramp of 5 %.
        let half_life = self.settings.average_half_life.min(seen * 0.05).max(1e-8);
        self.average.follow(&self.generator, 0.5f64.powf(self.settings.batch as f64 / half_life))?;
        let _frozen = tch::no_grad_guard();
        let generator = self.network()?;
        let w = generator.map(&normal(&[256, generator.w_dim()], device)?)?.f_mean_dim(
            [0].as_slice(),
            false,
            Kind::Float,
        )?;
        let decay = if step == 0 { 1.0 } else { LATENT_DECAY.max(1.0 / (step + 1) as f64) };
        let _ = self.generator.get("latent_avg").shallow_clone().f_lerp_(&w, decay)?;
        Ok(losses)
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let prefixed =
            |prefix: &'static str| move |(name, tensor): (String, Tensor)| (format!("{prefix}/{name}"), tensor);
        let mut state: Vec<_> = self.generator.all().map(prefixed("generator")).collect();
        state.extend(self.average.all().map(prefixed("average")));
        state.extend(self.adam.all().map(prefixed("adam")));
        state.extend(self.discriminator.parameters.all().map(prefixed("discriminator")));
        state.extend(self.adversary.all().map(prefixed("adversary")));
        state.push(("path_mean".to_owned(), self.path_mean.shallow_clone()));
        state
    }
}
