//! Ranger as CF-CLIP, StyleCLIP, pSp and e4e train with it (mapper/training/ranger.py, the same file in all four): rectified
//! Adam (Liu et al. 2020) with gradient centralisation (Yong et al. 2020) inside lookahead (Zhang et al. 2019).
//!
//! Per tensor and step `t`, from 1:
//! 1. where the gradient has more than one dimension its mean over all but the first is taken off;
//! 2. `v = b2 v + (1 - b2) g^2`, `m = b1 m + (1 - b1) g`, with `b1 = .95`, `b2 = .999`;
//! 3. with `N_max = 2 / (1 - b2) - 1` and `N = N_max - 2 t b2^t / (1 - b2^t)`: if `N > 5` (from the sixth step on) the tensor
//!    moves by `rate r / (1 - b1^t) m / (sqrt(v) + 1e-5)`, `r` the rectification (`v` has no correction of its own: it is in
//!    `r`); before that by `rate / (1 - b1^t) m`, which the size of the gradient sets alone;
//! 4. every sixth step the slow copy goes half way to the tensor, and the tensor back to the slow copy.
//!
//! The published code accepts a switch for centralisation and ignores it; it is always on there and here.

use tch::{TchError, Tensor};

const BETA1: f64 = 0.95;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-5;
/// Below this length of the moving average the second moment says too little to divide by.
const SHORTEST_AVERAGE: f64 = 5.0;
/// Steps between two looks ahead.
const LOOK_AHEAD: u32 = 6;
/// How far the slow copy goes towards the fast one.
const SLOW_SHARE: f64 = 0.5;

/// Moments and slow copies of a list of tensors, and the number of steps taken.
#[derive(Debug)]
pub struct Ranger {
    /// Running means of the centralised gradients.
    pub first: Vec<Tensor>,
    /// Running means of their squares.
    pub second: Vec<Tensor>,
    /// What lookahead goes back to.
    pub slow: Vec<Tensor>,
    /// Steps taken.
    pub steps: u32,
}

/// How a step of RAdam moves: the factor on the first moment, and whether it is divided by the root of the second.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Rectified {
    factor: f64,
    adapted: bool,
}

impl Rectified {
    fn at(step: u32) -> Self {
        let t = f64::from(step);
        let (decay1, decay2) = (BETA1.powf(t), BETA2.powf(t));
        let longest = 2.0 / (1.0 - BETA2) - 1.0;
        let length = longest - 2.0 * t * decay2 / (1.0 - decay2);
        if length <= SHORTEST_AVERAGE {
            return Self { factor: 1.0 / (1.0 - decay1), adapted: false };
        }
        let ratio = (length - 4.0) / (longest - 4.0) * ((length - 2.0) / length) * (longest / (longest - 2.0));
        Self { factor: ((1.0 - decay2) * ratio).sqrt() / (1.0 - decay1), adapted: true }
    }
}

impl Ranger {
    /// Zero moments and slow copies of `parameters`.
    ///
    /// # Errors
    /// When libtorch cannot allocate them.
    pub fn new(parameters: &[Tensor]) -> Result<Self, TchError> {
        tch::no_grad(|| {
            let zeros = || parameters.iter().map(Tensor::f_zeros_like).collect::<Result<Vec<_>, _>>();
            let slow = parameters.iter().map(Tensor::f_detach_copy).collect::<Result<_, _>>()?;
            Ok(Self { first: zeros()?, second: zeros()?, slow, steps: 0 })
        })
    }

    /// One step: the new values of `parameters`, detached. `gradients` in the same order.
    ///
    /// # Errors
    /// When libtorch fails; the moments may then be half updated, so the run must end.
    pub fn step(&mut self, parameters: &[Tensor], gradients: &[Tensor], rate: f64) -> Result<Vec<Tensor>, TchError> {
        self.steps += 1;
        let Rectified { factor, adapted } = Rectified::at(self.steps);
        tch::no_grad(|| {
            let mut updated = Vec::with_capacity(parameters.len());
            for (i, (parameter, gradient)) in parameters.iter().zip(gradients).enumerate() {
                let gradient = centralised(gradient)?;
                self.first[i] = blend(&self.first[i], &gradient, BETA1)?;
                self.second[i] = blend(&self.second[i], &gradient.f_square()?, BETA2)?;
                let moved = self.first[i].f_multiply_scalar(rate * factor)?;
                let moved =
                    if adapted { moved.f_div(&self.second[i].f_sqrt()?.f_add_scalar(EPSILON)?)? } else { moved };
                let mut fast = parameter.f_detach()?.f_sub(&moved)?;
                if self.steps.is_multiple_of(LOOK_AHEAD) {
                    let ahead = fast.f_sub(&self.slow[i])?.f_multiply_scalar(SLOW_SHARE)?;
                    self.slow[i] = self.slow[i].f_add(&ahead)?;
                    fast = self.slow[i].f_detach_copy()?;
                }
                updated.push(fast);
            }
            Ok(updated)
        })
    }
}

/// The gradient without its mean over all dimensions but the first; a vector's as it is.
fn centralised(gradient: &Tensor) -> Result<Tensor, TchError> {
    let dimensions = gradient.dim() as i64;
    if dimensions < 2 {
        return Ok(gradient.shallow_clone());
    }
    let others: Vec<i64> = (1..dimensions).collect();
    gradient.f_sub(&gradient.f_mean_dim(others.as_slice(), true, None)?)
}

fn blend(running: &Tensor, new: &Tensor, beta: f64) -> Result<Tensor, TchError> {
    running.f_multiply_scalar(beta)?.f_add(&new.f_multiply_scalar(1.0 - beta)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_first_five_steps_are_not_adapted() {
        let adapted: Vec<u32> = (1..=20).filter(|&step| Rectified::at(step).adapted).collect();
        assert_eq!(adapted, (6..=20).collect::<Vec<_>>());
        // Long after, nothing is left to rectify.
        let late = Rectified::at(100_000);
        assert!((late.factor - 1.0).abs() < 1e-3, "{late:?}");
    }
}
