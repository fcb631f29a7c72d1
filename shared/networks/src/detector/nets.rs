//! The three networks of MTCNN under facenet-pytorch's names (models/mtcnn.py). Each pooling rounds its size up.

use tch::{TchError, Tensor};

use crate::error::LoadError;
use crate::layers::{Convolution, Linear};
use crate::weights::Scope;

/// What a network says of each square.
#[derive(Debug)]
pub(super) struct Said {
    /// That it is a face, `[N]`.
    pub(super) probability: Tensor,
    /// How its bounds are to be moved, `[N, 4]`.
    pub(super) moves: Tensor,
    /// Landmarks, `[N, 10]`: five x, five y, in parts of the square.
    pub(super) points: Option<Tensor>,
}

/// A layer with the PReLU after it.
#[derive(Debug)]
struct Active<T> {
    layer: T,
    /// A slope for each channel.
    slope: Tensor,
}

impl Active<Convolution> {
    /// `conv{k}` and `prelu{k}`.
    fn take(scope: &mut Scope<'_>, k: u8, sizes: [i64; 3]) -> Result<Self, LoadError> {
        let layer = Convolution::take(scope.scope(&format!("conv{k}")), sizes, true, 1, 0)?;
        Ok(Active { layer, slope: scope.take(&format!("prelu{k}.weight"), &sizes[..1])? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        self.layer.forward(x)?.f_prelu(&self.slope)
    }
}

impl Active<Linear> {
    /// `dense{k}` and `prelu{k}`.
    fn take(scope: &mut Scope<'_>, k: u8, inputs: i64, outputs: i64) -> Result<Self, LoadError> {
        let layer = Linear::take(scope.scope(&format!("dense{k}")), inputs, outputs)?;
        Ok(Active { layer, slope: scope.take(&format!("prelu{k}.weight"), &[outputs])? })
    }

    /// Reads maps column by column, as Caffe's layout had it.
    fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let columns = x.f_permute([0, 3, 2, 1])?.f_flatten(1, 3)?;
        self.layer.forward(&columns)?.f_prelu(&self.slope)
    }
}

fn pooled(x: &Tensor, side: i64) -> Result<Tensor, TchError> {
    x.f_max_pool2d([side, side], [2, 2], [0, 0], [1, 1], true)
}

/// The second of two outputs, as a probability.
fn face(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_softmax(1, None)?.f_select(1, 1)
}

/// Reads images of any size: one square of 12 px at every second pixel.
#[derive(Debug)]
pub(super) struct Pnet {
    first: Active<Convolution>,
    others: [Active<Convolution>; 2],
    probability: Convolution,
    moves: Convolution,
}

impl Pnet {
    pub(super) fn take(mut scope: Scope<'_>) -> Result<Self, LoadError> {
        Ok(Pnet {
            first: Active::<Convolution>::take(&mut scope, 1, [10, 3, 3])?,
            others: [
                Active::<Convolution>::take(&mut scope, 2, [16, 10, 3])?,
                Active::<Convolution>::take(&mut scope, 3, [32, 16, 3])?,
            ],
            probability: Convolution::take(scope.scope("conv4_1"), [2, 32, 1], true, 1, 0)?,
            moves: Convolution::take(scope.scope("conv4_2"), [4, 32, 1], true, 1, 0)?,
        })
    }

    /// Of an image `[1, 3, H, W]`, probabilities `[1, h, w]` and moves `[1, 4, h, w]`.
    pub(super) fn forward(&self, image: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let mut x = pooled(&self.first.forward(image)?, 2)?;
        for layer in &self.others {
            x = layer.forward(&x)?;
        }
        Ok((face(&self.probability.forward(&x)?)?, self.moves.forward(&x)?))
    }
}

/// Reads squares of 24 px.
#[derive(Debug)]
pub(super) struct Rnet {
    convolutions: [Active<Convolution>; 3],
    dense: Active<Linear>,
    probability: Linear,
    moves: Linear,
}

impl Rnet {
    pub(super) fn take(mut scope: Scope<'_>) -> Result<Self, LoadError> {
        Ok(Rnet {
            convolutions: [
                Active::<Convolution>::take(&mut scope, 1, [28, 3, 3])?,
                Active::<Convolution>::take(&mut scope, 2, [48, 28, 3])?,
                Active::<Convolution>::take(&mut scope, 3, [64, 48, 2])?,
            ],
            dense: Active::<Linear>::take(&mut scope, 4, 576, 128)?,
            probability: Linear::take(scope.scope("dense5_1"), 128, 2)?,
            moves: Linear::take(scope.scope("dense5_2"), 128, 4)?,
        })
    }

    pub(super) fn forward(&self, squares: &Tensor) -> Result<Said, TchError> {
        let [first, second, third] = &self.convolutions;
        let x = pooled(&first.forward(squares)?, 3)?; // [N, 28, 11, 11]
        let x = pooled(&second.forward(&x)?, 3)?; // [N, 48, 4, 4]
        let x = self.dense.forward(&third.forward(&x)?)?;
        Ok(Said { probability: face(&self.probability.forward(&x)?)?, moves: self.moves.forward(&x)?, points: None })
    }
}

/// Reads squares of 48 px.
#[derive(Debug)]
pub(super) struct Onet {
    convolutions: [Active<Convolution>; 4],
    dense: Active<Linear>,
    probability: Linear,
    moves: Linear,
    points: Linear,
}

impl Onet {
    pub(super) fn take(mut scope: Scope<'_>) -> Result<Self, LoadError> {
        Ok(Onet {
            convolutions: [
                Active::<Convolution>::take(&mut scope, 1, [32, 3, 3])?,
                Active::<Convolution>::take(&mut scope, 2, [64, 32, 3])?,
                Active::<Convolution>::take(&mut scope, 3, [64, 64, 3])?,
                Active::<Convolution>::take(&mut scope, 4, [128, 64, 2])?,
            ],
            dense: Active::<Linear>::take(&mut scope, 5, 1152, 256)?,
            probability: Linear::take(scope.scope("dense6_1"), 256, 2)?,
            moves: Linear::take(scope.scope("dense6_2"), 256, 4)?,
            points: Linear::take(scope.scope("dense6_3"), 256, 10)?,
        })
    }

    pub(super) fn forward(&self, squares: &Tensor) -> Result<Said, TchError> {
        let [first, second, third, fourth] = &self.convolutions;
        let x = pooled(&first.forward(squares)?, 3)?; // [N, 32, 23, 23]
        let x = pooled(&second.forward(&x)?, 3)?; // [N, 64, 10, 10]
        let x = pooled(&third.forward(&x)?, 2)?; // [N, 64, 4, 4]
        let x = self.dense.forward(&fourth.forward(&x)?)?;
        Ok(Said {
            probability: face(&self.probability.forward(&x)?)?,
            moves: self.moves.forward(&x)?,
            points: Some(self.points.forward(&x)?),
        })
    }
}
