//! Adam (Kingma and Ba 2015), as `torch.optim.Adam` computes it, on tensors the caller can see and save.
//!
//! Every operation is elementwise, so with one row per item the moments are per item too.

use tch::{TchError, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// First and second moments of a list of tensors, and the number of steps taken.
#[derive(Debug)]
pub struct Adam {
    /// Running means of the gradients.
    pub first: Vec<Tensor>,
    /// Running means of the squared gradients.
    pub second: Vec<Tensor>,
    /// Steps taken.
    pub steps: u32,
}

impl Adam {
    /// Zero moments in the shapes of `parameters`.
    ///
    /// # Errors
    /// When libtorch cannot allocate them.
    pub fn new(parameters: &[Tensor]) -> Result<Self, TchError> {
        let zeros = || tch::no_grad(|| parameters.iter().map(Tensor::f_zeros_like).collect::<Result<Vec<_>, _>>());
        Ok(Self { first: zeros()?, second: zeros()?, steps: 0 })
    }

    /// One step: the new values of `parameters`, detached. `gradients` in the same order.
    ///
    /// # Errors
    /// When libtorch fails; the moments may then be half updated, so the run must end.
    pub fn step(&mut self, parameters: &[Tensor], gradients: &[Tensor], rate: f64) -> Result<Vec<Tensor>, TchError> {
        self.steps += 1;
        let taken = f64::from(self.steps);
        let (correction1, correction2) = (1.0 - BETA1.powf(taken), 1.0 - BETA2.powf(taken));
        tch::no_grad(|| {
            let mut updated = Vec::with_capacity(parameters.len());
            for (i, (parameter, gradient)) in parameters.iter().zip(gradients).enumerate() {
                self.first[i] = blend(&self.first[i], gradient, BETA1)?;
                self.second[i] = blend(&self.second[i], &gradient.f_square()?, BETA2)?;
                let length = self.second[i].f_sqrt()?.f_divide_scalar(correction2.sqrt())?.f_add_scalar(EPSILON)?;
                let step = self.first[i].f_multiply_scalar(rate / correction1)?.f_div(&length)?;
                updated.push(parameter.f_detach()?.f_sub(&step)?);
            }
            Ok(updated)
        })
    }

    /// Keeps the rows (items) in `rows`, an index tensor `[kept]`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn keep_rows(&mut self, rows: &Tensor) -> Result<(), TchError> {
        for moment in self.first.iter_mut().chain(&mut self.second) {
            *moment = moment.f_index_select(0, rows)?;
        }
        Ok(())
    }
}

fn blend(running: &Tensor, new: &Tensor, beta: f64) -> Result<Tensor, TchError> {
    running.f_multiply_scalar(beta)?.f_add(&new.f_multiply_scalar(1.0 - beta)?)
}

/// Scales `gradients` so that their common Euclidean length is at most `limit`, as `torch.nn.utils.clip_grad_norm_`.
///
/// # Errors
/// When libtorch fails.
pub fn clip_length(gradients: &[Tensor], limit: f64) -> Result<Vec<Tensor>, TchError> {
    tch::no_grad(|| {
        let lengths = gradients.iter().map(Tensor::f_norm).collect::<Result<Vec<_>, _>>()?;
        let length = Tensor::f_stack(&lengths, 0)?.f_norm()?;
        let factor = length.f_add_scalar(1e-6)?.f_reciprocal()?.f_multiply_scalar(limit)?.f_clamp_max(1.0)?;
        gradients.iter().map(|gradient| gradient.f_mul(&factor)).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two steps by hand: with a constant gradient Adam moves by the rate each time.
    #[test]
    fn a_constant_gradient_moves_by_the_rate() {
        let mut parameter = vec![Tensor::from_slice(&[1.0_f64, -2.0])];
        let gradient = [Tensor::from_slice(&[0.5_f64, -4.0])];
        let mut adam = Adam::new(&parameter).unwrap();
        for _ in 0..2 {
            parameter = adam.step(&parameter, &gradient, 0.1).unwrap();
        }
        let moved: Vec<f64> = Vec::try_from(&parameter[0]).unwrap();
        assert!((moved[0] - 0.8).abs() < 1e-7 && (moved[1] + 1.8).abs() < 1e-7, "{moved:?}");
    }

    #[test]
    fn long_gradients_are_shortened_and_short_ones_left() {
        let long = clip_length(&[Tensor::from_slice(&[3.0_f64]), Tensor::from_slice(&[4.0_f64])], 1.0).unwrap();
        let values: Vec<f64> = long.iter().map(|t| t.double_value(&[0])).collect();
        assert!((values[0] - 0.6).abs() < 1e-6 && (values[1] - 0.8).abs() < 1e-6, "{values:?}");
        let short = clip_length(&[Tensor::from_slice(&[0.3_f64])], 1.0).unwrap();
        assert!((short[0].double_value(&[0]) - 0.3).abs() < 1e-12);
    }
}
