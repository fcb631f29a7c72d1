//! The optimisers of a mapper's training behind one signature, with a state that checkpoints can hold.

use crate::adam::{Adam, clip_length};
use crate::ranger::Ranger;
use domain::edit::Optimiser as Kind;
use networks::error::LoadError;
use tch::{TchError, Tensor};

/// Longest gradient that Adam is given, over all parameters together.
const GRADIENT_LIMIT: f64 = 1.0;

/// An optimiser in the middle of its work.
#[derive(Debug)]
pub enum Optimiser {
    /// Adam on gradients of limited length.
    Adam(Adam),
    /// Ranger, which takes gradients as they are.
    Ranger(Ranger),
}

impl Optimiser {
    /// The optimiser of this kind before its first step on `parameters`.
    ///
    /// # Errors
    /// When libtorch cannot allocate its state.
    pub fn new(kind: Kind, parameters: &[Tensor]) -> Result<Self, TchError> {
        Ok(match kind {
            Kind::Adam => Self::Adam(Adam::new(parameters)?),
            Kind::Ranger => Self::Ranger(Ranger::new(parameters)?),
        })
    }

    /// One step: the new values of `parameters`, detached. `gradients` in the same order.
    ///
    /// # Errors
    /// When libtorch fails; the state may then be half updated, so the run must end.
    pub fn step(&mut self, parameters: &[Tensor], gradients: &[Tensor], rate: f64) -> Result<Vec<Tensor>, TchError> {
        match self {
            Self::Adam(adam) => adam.step(parameters, &clip_length(gradients, GRADIENT_LIMIT)?, rate),
            Self::Ranger(ranger) => ranger.step(parameters, gradients, rate),
        }
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        match self {
            Self::Adam(adam) => adam.steps,
            Self::Ranger(ranger) => ranger.steps,
        }
    }

    /// What a checkpoint keeps besides the number of steps: lists of one tensor per parameter, by name.
    pub fn state(&self) -> Vec<(&'static str, &[Tensor])> {
        match self {
            Self::Adam(adam) => vec![("first", &adam.first), ("second", &adam.second)],
            Self::Ranger(ranger) => {
                vec![("first", &ranger.first), ("second", &ranger.second), ("slow", &ranger.slow)]
            }
        }
    }

    /// The optimiser whose [`Optimiser::state`] gave these lists after `steps` steps; `take` finds a list by its name.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn restore(
        kind: Kind,
        steps: u32,
        mut take: impl FnMut(&str) -> Result<Vec<Tensor>, LoadError>,
    ) -> Result<Self, LoadError> {
        let (first, second) = (take("first")?, take("second")?);
        Ok(match kind {
            Kind::Adam => Self::Adam(Adam { first, second, steps }),
            Kind::Ranger => Self::Ranger(Ranger { first, second, slow: take("slow")?, steps }),
        })
    }
}
