//! Adam (Kingma and Ba, 2015, <https://arxiv.org/abs/1412.6980>) with decoupled weight decay (Loshchilov and Hutter,
//! 2019, <https://arxiv.org/abs/1711.05101>), whose state can be saved: tch's own cannot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::TrainingError;
use crate::parameters::Parameters;

/// Added to the root of the second moment.
const EPS: f64 = 1e-8;

/// Settings of one optimiser.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamSettings {
    /// Learning rate at its peak.
    pub lr: f64,
    /// Decay of the two moments.
    pub betas: [f64; 2],
    /// Decoupled weight decay, a share of the learning rate; 0 for plain Adam. Vectors (biases, gains) are spared.
    #[serde(default)]
    pub weight_decay: f64,
    /// Gradients of a longer total norm are shortened to it; 0 for none.
    #[serde(default)]
    pub clip: f64,
}

/// The moments of one network's parameters.
#[derive(Debug)]
pub struct Adam {
    settings: AdamSettings,
    moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl Adam {
    /// An optimiser of the parameters whose names `choose` accepts.
    pub fn new(
        parameters: &Parameters,
        settings: AdamSettings,
        choose: impl Fn(&str) -> bool,
    ) -> Result<Self, TrainingError> {
        let chosen = parameters.trained().iter().filter(|(name, _)| choose(name));
        let moments = chosen.map(|(name, tensor)| {
            let tensor = tensor.f_detach()?;
            Ok((name.clone(), (tensor.f_zeros_like()?, tensor.f_zeros_like()?)))
        });
        Ok(Adam { settings, moments: moments.collect::<Result<_, TrainingError>>()? })
    }

    /// The state by name, sharing its memory.
    pub fn all(&self) -> impl Iterator<Item = (String, Tensor)> {
        self.moments.iter().flat_map(|(name, (m, v))| {
            [(format!("m/{name}"), m.shallow_clone()), (format!("v/{name}"), v.shallow_clone())]
        })
    }

    /// The tensors it optimises, in the order that [`Adam::step`] wants their gradients.
    pub fn inputs(&self, parameters: &Parameters) -> Vec<Tensor> {
        self.moments.keys().map(|name| parameters.get(name).shallow_clone()).collect()
    }

    /// One step with the gradients of [`Adam::inputs`]. `count` is the number of this step, from 1; `rate` scales the
    /// learning rate. A parameter that the loss did not depend on has an undefined gradient and stays.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &[Tensor],
        count: u64,
        rate: f64,
    ) -> Result<(), TrainingError> {
        tch::no_grad(|| {
            let shorten = self.shortening(gradients)?;
            let [b1, b2] = self.settings.betas;
            let lr = self.settings.lr * rate;
            let warm = |beta: f64| 1.0 - beta.powf(count as f64);
            for ((name, (m, v)), gradient) in self.moments.iter_mut().zip(gradients) {
                if !gradient.defined() {
                    continue;
                }
                let gradient = match &shorten {
                    Some(factor) => gradient.f_mul(factor)?,
                    None => gradient.shallow_clone(),
                };
                let _ = m.f_lerp_(&gradient, 1.0 - b1)?;
                let _ = v.f_lerp_(&gradient.f_square()?, 1.0 - b2)?;
                let scale = v.f_multiply_scalar(1.0 / warm(b2))?.f_sqrt()?.f_add_scalar(EPS)?;
                let mut tensor = parameters.get(name).shallow_clone();
                if self.settings.weight_decay > 0.0 && tensor.dim() > 1 {
                    let _ = tensor.f_mul_scalar_(1.0 - lr * self.settings.weight_decay)?;
                }
                let _ = tensor.f_sub_(&m.f_div(&scale)?.f_multiply_scalar(lr / warm(b1))?)?;
            }
            Ok(())
        })
    }

    /// `clip / norm` where the gradients are longer than `clip`, at most 1; stays on the device.
    fn shortening(&self, gradients: &[Tensor]) -> Result<Option<Tensor>, TrainingError> {
        if self.settings.clip <= 0.0 {
            return Ok(None);
        }
        let squares = gradients.iter().filter(|g| g.defined()).map(|g| g.f_square()?.f_sum(g.f_kind()?));
        let squares = squares.collect::<Result<Vec<_>, _>>()?;
        let norm = Tensor::f_stack(&squares, 0)?.f_sum(tch::Kind::Float)?.f_sqrt()?;
        let factor = norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_multiply_scalar(self.settings.clip)?;
        Ok(Some(factor.f_clamp_max(1.0)?))
    }
}

/// Gradients of a scalar loss with respect to `inputs`; those it does not depend on are undefined.
pub fn gradients(loss: &Tensor, inputs: &[Tensor]) -> Result<Vec<Tensor>, TrainingError> {
    Ok(Tensor::f_run_backward(&[loss], inputs, false, false)?)
}

/// The learning rate's course: a linear rise over `warm_up` steps, then full until `hold` of all steps, then half a cosine
/// down to `floor`.
pub fn course(step: u64, steps: u64, warm_up: u64, hold: f64, floor: f64) -> f64 {
    let rise = ((step + 1) as f64 / warm_up.max(1) as f64).min(1.0);
    let done = step as f64 / steps.max(1) as f64;
    let fall =
        if done < hold { 1.0 } else { 0.5 * (1.0 + (std::f64::consts::PI * (done - hold) / (1.0 - hold)).cos()) };
    rise * (fall * (1.0 - floor) + floor)
}
