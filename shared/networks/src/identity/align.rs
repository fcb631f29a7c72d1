//! From a generated image to the identity network's input: pooling, cropping and pooling again.
//!
//! On the CPU by libtorch's own pooling, which rounds as the published code does: an input that differs by 1e-7 puts some of
//! the network's activations on the other side of zero, and the gradient then differs by up to 1e-2.
//!
//! Elsewhere as one matrix per axis, for all three steps are linear and separable. That makes the gradient reproducible:
//! libtorch's gradient of adaptive pooling on CUDA adds in any order wherever windows overlap, and 188 to 112 px overlaps.

use tch::{TchError, Tensor};

use super::IdentityInput;

/// Side of the frame that the crop is stated in, px.
const FRAME: i64 = 256;
/// First row and first column of the face within the frame (pSp, e4e and StyleCLIP alike).
const FACE: [i64; 2] = [35, 32];
/// Side of the face within the frame, px.
const FACE_SIDE: i64 = 188;

/// `images` `[B, C, side, side]` -> `[B, C, target, target]`, step by step.
pub(super) fn step_by_step(images: &Tensor, input: IdentityInput, side: i64, target: i64) -> Result<Tensor, TchError> {
    let pooled = |images: &Tensor, from: i64, to: i64| {
        if from == to { Ok(images.shallow_clone()) } else { images.f_adaptive_avg_pool2d([to; 2]) }
    };
    match input {
        IdentityInput::WholeImage => pooled(images, side, target),
        IdentityInput::FfhqCrop => {
            let [row, column] = FACE;
            let frame = pooled(images, side, FRAME)?;
            let face = frame.f_narrow(2, row, FACE_SIDE)?.f_narrow(3, column, FACE_SIDE)?;
            pooled(&face, FACE_SIDE, target)
        }
    }
}

/// The matrices `[target, side]` that act on rows and on columns, in double precision on the CPU.
pub(super) fn matrices(input: IdentityInput, side: i64, target: i64) -> Result<[Tensor; 2], TchError> {
    match input {
        IdentityInput::WholeImage => {
            let pool = pooling(side, target)?;
            Ok([pool.shallow_clone(), pool])
        }
        IdentityInput::FfhqCrop => {
            let (frame, face) = (pooling(side, FRAME)?, pooling(FACE_SIDE, target)?);
            let axis = |start| face.f_matmul(&frame.f_narrow(0, start, FACE_SIDE)?);
            Ok([axis(FACE[0])?, axis(FACE[1])?])
        }
    }
}

/// Adaptive average pooling of one axis, `[outputs, inputs]`: output o is the mean of the pixels from ⌊o·in/out⌋ to
/// ⌈(o+1)·in/out⌉ (PyTorch's rule; whole pixels, unlike area resampling). From few pixels to many it repeats them.
fn pooling(inputs: i64, outputs: i64) -> Result<Tensor, TchError> {
    let mut weights = vec![0.0; (inputs * outputs) as usize];
    for o in 0..outputs {
        let (start, end) = (o * inputs / outputs, ((o + 1) * inputs + outputs - 1) / outputs);
        for i in start..end {
            weights[(o * inputs + i) as usize] = 1.0 / (end - start) as f64;
        }
    }
    Tensor::f_from_slice(&weights)?.f_view([outputs, inputs])
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn both_ways_are_the_same_function() {
        let input = [IdentityInput::WholeImage, IdentityInput::FfhqCrop];
        for (input, side) in input.into_iter().flat_map(|input| [37, 112, 256, 300].map(|side| (input, side))) {
            let images = Tensor::rand([2, 3, side, side], (Kind::Double, Device::Cpu));
            let steps = step_by_step(&images, input, side, 112).unwrap();
            let [rows, columns] = matrices(input, side, 112).unwrap();
            let products = rows.matmul(&images.matmul(&columns.transpose(0, 1)));
            assert_eq!(steps.size(), [2, 3, 112, 112]);
            assert!((steps - products).abs().max().double_value(&[]) < 1e-12, "{input:?} from {side} px");
        }
    }
}
