//! The judge: a classifier of every attribute, trained on faces of all colours.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::adam::{Adam, AdamSettings, course, gradients};
use crate::augment::{shifted, softened};
use crate::dataset::{Order, Pictures};
use crate::error::TrainingError;
use crate::faces::heads;
use crate::layers::{batch_norm, convolution, cross_entropy, linear};
use crate::parameters::Parameters;
use crate::session::{Losses, Part};

/// Sizes and course of the judge's training.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeSettings {
    /// Channels of the convolutions, each of which halves the resolution.
    pub channels: Vec<i64>,
    /// Width of the layer below the heads.
    pub hidden: i64,
    /// Steps.
    pub steps: u64,
    /// Pictures a step.
    pub batch: usize,
    /// The optimiser.
    pub adam: AdamSettings,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        let adam = AdamSettings { lr: 2e-3, betas: [0.9, 0.999], weight_decay: 0.02, clip: 0.0 };
        JudgeSettings { channels: vec![24, 48, 96, 128], hidden: 192, steps: 1250, batch: 128, adam }
    }
}

/// How many layers of the file's `body` one stage has: convolution, normalisation, activation, pooling.
const STAGE: usize = 4;

/// The judge in training.
pub struct JudgeTraining<'a> {
    parameters: Parameters,
    stages: usize,
    adam: Adam,
    order: Order,
    pictures: &'a Pictures,
}

impl<'a> JudgeTraining<'a> {
    /// A judge with random values, for pictures of `side` px.
    pub fn new(
        settings: &JudgeSettings,
        side: i64,
        pictures: &'a Pictures,
        seed: u64,
        device: Device,
    ) -> Result<Self, TrainingError> {
        tch::manual_seed(seed as i64);
        let mut p = Parameters::new(device);
        let mut inputs = 3;
        for (stage, &channels) in settings.channels.iter().enumerate() {
            p.layer(&format!("body.{}", STAGE * stage), &[channels, inputs, 3, 3], 2.0)?;
            p.batch_norm(&format!("body.{}", STAGE * stage + 1), channels)?;
            inputs = channels;
        }
        let last = side >> settings.channels.len();
        p.layer("fc", &[settings.hidden, inputs * last * last], 2.0)?;
        for (head, classes) in heads() {
            p.layer(&format!("heads.{head}"), &[classes.len() as i64, settings.hidden], 1.0)?;
        }
        let adam = Adam::new(&p, settings.adam, |_| true)?;
        let order = Order::new(seed, pictures.len(), settings.batch)?;
        Ok(JudgeTraining { parameters: p, stages: settings.channels.len(), adam, order, pictures })
    }

    /// Its tensors, under the names of a judge's file.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Scores of `x` `[B, 3, S, S]` per head; in training with the batch's statistics.
    pub fn forward(&self, x: &Tensor, training: bool) -> Result<Vec<Tensor>, TrainingError> {
        let h = features(&self.parameters, self.stages, x, training)?;
        heads().iter().map(|(head, _)| Ok(linear(&self.parameters, &format!("heads.{head}"), &h)?)).collect()
    }
}

/// What the heads see of `x`: `[B, hidden]`.
pub(crate) fn features(p: &Parameters, stages: usize, x: &Tensor, training: bool) -> Result<Tensor, TrainingError> {
    let mut x = x.shallow_clone();
    for stage in 0..stages {
        x = convolution(p, &format!("body.{}", STAGE * stage), &x, 1, 1, Kind::Float)?;
        x = batch_norm(p, &format!("body.{}", STAGE * stage + 1), &x, training)?.f_relu()?;
        x = x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
    }
    Ok(linear(p, "fc", &x.f_flatten(1, -1)?)?.f_relu()?)
}

impl Part for JudgeTraining<'_> {
    fn name(&self) -> &'static str {
        "judge"
    }

    fn step(&mut self, step: u64, steps: u64, rng: &mut ChaCha8Rng) -> Result<Losses, TrainingError> {
        let device = self.parameters.device();
        let indices = self.order.indices(step)?;
        let labels = self.pictures.labels.f_index_select(0, &indices)?.f_to_device(device)?;
        let x = shifted(&self.pictures.batch(&indices, device)?, 2, rng)?;
        let x = softened(&x, 0.5, 0.5, 0.1, rng)?;
        let mut loss = Tensor::f_zeros([], (Kind::Float, device))?;
        for (head, scores) in self.forward(&x, true)?.iter().enumerate() {
            loss = loss.f_add(&cross_entropy(scores, &labels.f_select(1, head as i64)?)?)?;
        }
        let inputs = self.adam.inputs(&self.parameters);
        let gradients = gradients(&loss, &inputs)?;
        self.adam.step(&self.parameters, &gradients, step + 1, course(step, steps, 50, 0.0, 0.01))?;
        Ok(vec![("cross_entropy", loss.f_double_value(&[])?)])
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        self.parameters.all().chain(self.adam.all()).collect()
    }
}
