//! Training by reconstruction: encoder and generator together (what gives a usable pack within CPU minutes), or the encoder
//! alone on a generator that was trained adversarially.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::adam::{Adam, AdamSettings, course, gradients};
use crate::augment::{normal, uniform};
use crate::dataset::{Order, Pictures};
use crate::encoder::EncoderNetwork;
use crate::error::TrainingError;
use crate::faces::heads;
use crate::generator::{is_mapping, network};
use crate::layers::{cross_entropy, linear};
use crate::parameters::{Average, Parameters};
use crate::session::{Losses, Part};

/// Course of a training by reconstruction.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReconstructionSettings {
    /// Steps; 0 leaves this part out.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// The generator's optimiser (equalised learning rates want a higher one).
    pub generator: AdamSettings,
    /// The encoder's, and that of the helper that reads attributes from the base latent.
    pub encoder: AdamSettings,
    /// Share of the steps without deltas: the base latent must carry the face first.
    pub base_only: f64,
    /// Afterwards, the share of pictures that keep their deltas.
    pub keep_deltas: f64,
    /// Weight of the squared deltas.
    pub delta: f64,
    /// Weight of the squared base latent.
    pub base: f64,
    /// Deviation of the noise on w, which makes the neighbourhood of a latent a face too.
    pub latent_noise: f64,
    /// Weight of the attributes and colours that a linear layer must read from the base latent.
    pub attributes: f64,
    /// From which share of the steps the learning rate falls.
    pub hold: f64,
    /// Decay of the generator's average.
    pub average: f64,
    /// Whether convolutions compute in 16-bit brain floats.
    pub bf16: bool,
}

impl Default for ReconstructionSettings {
    fn default() -> Self {
        let betas = [0.9, 0.99];
        ReconstructionSettings {
            steps: 10_800,
            batch: 16,
            generator: AdamSettings { lr: 5e-3, betas, weight_decay: 0.0, clip: 0.0 },
            encoder: AdamSettings { lr: 1e-3, betas, weight_decay: 0.0, clip: 2.0 },
            base_only: 0.34,
            keep_deltas: 0.6,
            delta: 4e-2,
            base: 1e-3,
            latent_noise: 0.08,
            attributes: 0.1,
            hold: 0.6,
            average: 0.998,
            bf16: true,
        }
    }
}

/// Encoder and generator, of which the second may be frozen.
pub struct ReconstructionTraining<'a> {
    name: &'static str,
    settings: ReconstructionSettings,
    encoder: EncoderNetwork,
    encoder_adam: Adam,
    reader: Parameters,
    reader_adam: Adam,
    generator: Parameters,
    /// The generator's optimiser and average, unless it is frozen.
    learning: Option<(Adam, Average)>,
    order: Order,
    pictures: &'a Pictures,
}

impl<'a> ReconstructionTraining<'a> {
    /// Trains both together (`frozen_generator` false, the part `reconstruction`), or the encoder alone (`encoder`).
    pub fn new(
        settings: &ReconstructionSettings,
        encoder: EncoderNetwork,
        generator: Parameters,
        frozen_generator: bool,
        pictures: &'a Pictures,
        seed: u64,
    ) -> Result<Self, TrainingError> {
        tch::manual_seed(seed as i64);
        let device = generator.device();
        let mut reader = Parameters::new(device);
        let classes: i64 = heads().iter().map(|(_, classes)| classes.len() as i64).sum();
        let w_dim = generator.get("latent_avg").size()[0];
        reader.layer("reader", &[classes + pictures.colours.size()[1], w_dim], 0.33)?;
        let learning = if frozen_generator {
            None
        } else {
            let adam = Adam::new(&generator, settings.generator, |name| !is_mapping(name))?;
            Some((adam, Average::of(&generator)?))
        };
        Ok(ReconstructionTraining {
            name: if frozen_generator { "encoder" } else { "reconstruction" },
            encoder_adam: Adam::new(&encoder.parameters, settings.encoder, |_| true)?,
            reader_adam: Adam::new(&reader, settings.encoder, |_| true)?,
            order: Order::new(seed, pictures.len(), settings.batch)?,
            settings: settings.clone(),
            encoder,
            reader,
            generator,
            learning,
            pictures,
        })
    }

    /// The encoder.
    pub fn encoder(&self) -> &EncoderNetwork {
        &self.encoder
    }

    /// The average of the generator, which is shipped; `None` where it was frozen.
    pub fn average(&self) -> Option<&Average> {
        self.learning.as_ref().map(|(_, average)| average)
    }

    /// Gives encoder and generator back; the generator takes its average.
    pub fn finish(self) -> Result<(EncoderNetwork, Parameters), TrainingError> {
        if let Some((_, average)) = self.learning {
            average.into_parameters(&self.generator)?;
        }
        Ok((self.encoder, self.generator))
    }

    fn kind(&self) -> Kind {
        if self.settings.bf16 { Kind::BFloat16 } else { Kind::Float }
    }

    /// How well a linear layer reads classes and colours from the base latent.
    fn reading_loss(&self, base: &Tensor, indices: &Tensor) -> Result<Tensor, TrainingError> {
        let device = base.device();
        let read = linear(&self.reader, "reader", base)?;
        let labels = self.pictures.labels.f_index_select(0, indices)?.f_to_device(device)?;
        let colours = self.pictures.colours.f_index_select(0, indices)?.f_to_device(device)?;
        let heads = heads();
        let mut classes = Tensor::f_zeros([], (Kind::Float, device))?;
        let mut from = 0;
        for (head, (_, known)) in heads.iter().enumerate() {
            let scores = read.f_narrow(1, from, known.len() as i64)?;
            classes = classes.f_add(&cross_entropy(&scores, &labels.f_select(1, head as i64)?)?)?;
            from += known.len() as i64;
        }
        let off = read.f_narrow(1, from, colours.size()[1])?.f_sub(&colours)?.f_abs()?.f_mean(Kind::Float)?;
        Ok(classes.f_multiply_scalar(1.0 / heads.len() as f64)?.f_add(&off)?)
    }
}

/// Distance of two batches of pictures: L1, half the square, edges, and L1 at three coarser sizes.
pub fn distance(a: &Tensor, b: &Tensor) -> Result<Tensor, TrainingError> {
    let l1 = |a: &Tensor, b: &Tensor| a.f_sub(b)?.f_abs()?.f_mean(Kind::Float);
    let edges = |x: &Tensor, dim: i64| x.f_diff(1, dim, None::<&Tensor>, None::<&Tensor>);
    let mut loss = l1(a, b)?.f_add(&a.f_sub(b)?.f_square()?.f_mean(Kind::Float)?.f_multiply_scalar(0.5)?)?;
    for dim in [2, 3] {
        loss = loss.f_add(&l1(&edges(a, dim)?, &edges(b, dim)?)?.f_multiply_scalar(0.5)?)?;
    }
    let (mut a, mut b) = (a.shallow_clone(), b.shallow_clone());
    for _ in 0..3 {
        (a, b) = (half(&a)?, half(&b)?);
        loss = loss.f_add(&l1(&a, &b)?.f_multiply_scalar(0.5)?)?;
    }
    Ok(loss)
}

fn half(x: &Tensor) -> Result<Tensor, TrainingError> {
    Ok(x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?)
}

impl Part for ReconstructionTraining<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn step(&mut self, step: u64, steps: u64, _: &mut ChaCha8Rng) -> Result<Losses, TrainingError> {
        let s = &self.settings;
        let device = self.generator.device();
        let indices = self.order.indices(step)?;
        let x = self.pictures.batch(&indices, device)?;
        let (base, delta) = self.encoder.forward(&x, true, self.kind())?;
        let with_deltas = step as f64 >= s.base_only * steps as f64;
        let mut latents = base.f_unsqueeze(1)?.f_expand_as(&delta)?;
        if with_deltas {
            let keep = uniform(&[s.batch as i64, 1, 1], device)?.f_lt(s.keep_deltas)?.f_to_kind(Kind::Float)?;
            latents = latents.f_add(&delta.f_mul(&keep)?)?;
        }
        let noise = normal(&base.size(), device)?.f_multiply_scalar(s.latent_noise)?.f_unsqueeze(1)?;
        let generator = network(&self.generator, self.kind())?;
        let distance = distance(&generator.synthesize(&latents.f_add(&noise)?)?, &x)?;
        let reading = self.reading_loss(&base, &indices)?;
        let mut loss = distance.f_add(&reading.f_multiply_scalar(s.attributes)?)?;
        loss = loss.f_add(&base.f_square()?.f_mean(Kind::Float)?.f_multiply_scalar(s.base)?)?;
        if with_deltas {
            loss = loss.f_add(&delta.f_square()?.f_mean(Kind::Float)?.f_multiply_scalar(s.delta)?)?;
        }

        let mut inputs = self.encoder_adam.inputs(&self.encoder.parameters);
        let encoders = inputs.len();
        inputs.extend(self.reader_adam.inputs(&self.reader));
        let readers = inputs.len();
        if let Some((adam, _)) = &self.learning {
            inputs.extend(adam.inputs(&self.generator));
        }
        let gradients = gradients(&loss, &inputs)?;
        let rate = course(step, steps, 100, s.hold, 0.03);
        self.encoder_adam.step(&self.encoder.parameters, &gradients[..encoders], step + 1, rate)?;
        self.reader_adam.step(&self.reader, &gradients[encoders..readers], step + 1, rate)?;
        if let Some((adam, average)) = &mut self.learning {
            adam.step(&self.generator, &gradients[readers..], step + 1, rate)?;
            // Early on the average would lag behind.
            average.follow(&self.generator, s.average.min((step + 1) as f64 / (step + 10) as f64))?;
        }
        Ok(vec![
            ("total", loss.f_double_value(&[])?),
            ("distance", distance.f_double_value(&[])?),
            ("reading", reading.f_double_value(&[])?),
        ])
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let prefixed =
            |prefix: &'static str| move |(name, tensor): (String, Tensor)| (format!("{prefix}/{name}"), tensor);
        let mut state: Vec<_> = self.encoder.parameters.all().map(prefixed("encoder")).collect();
        state.extend(self.encoder_adam.all().map(prefixed("encoder_adam")));
        state.extend(self.reader.all().map(prefixed("reader")));
        state.extend(self.reader_adam.all().map(prefixed("reader_adam")));
        if let Some((adam, average)) = &self.learning {
            state.extend(self.generator.all().map(prefixed("generator")));
            state.extend(adam.all().map(prefixed("generator_adam")));
            state.extend(average.all().map(prefixed("average")));
        }
        state
    }
}

/// A random choice of rows, for callers that sample.
pub(crate) fn rows(from: &Tensor, count: i64, rng: &mut ChaCha8Rng) -> Result<Tensor, TrainingError> {
    let n = from.size()[0];
    let chosen: Vec<i64> = (0..count).map(|_| rng.random_range(0..n)).collect();
    Ok(from.f_index_select(0, &Tensor::f_from_slice(&chosen)?.f_to_device(from.device())?)?)
}
