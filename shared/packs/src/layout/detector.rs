//! MTCNN.

use super::{Fault, Shapes, Walk};

/// Convolutions of each network: its name, and each one's filters, inputs and side; the last two of the first network have no PReLU.
const CONVOLUTIONS: [(&str, &[[usize; 3]]); 3] = [
    ("pnet", &[[10, 3, 3], [16, 10, 3], [32, 16, 3]]),
    ("rnet", &[[28, 3, 3], [48, 28, 3], [64, 48, 2]]),
    ("onet", &[[32, 3, 3], [64, 32, 3], [64, 64, 3], [128, 64, 2]]),
];

/// The three networks of facenet-pytorch: their sizes are fixed, as is what they read.
pub(super) fn mtcnn(shapes: &Shapes) -> Result<(), Fault> {
    let mut walk = Walk::of(shapes);
    for (network, convolutions) in CONVOLUTIONS {
        for (k, [outputs, inputs, side]) in (1..).zip(convolutions) {
            walk.affine(&format!("{network}.conv{k}"), &[*outputs, *inputs, *side, *side])?;
            walk.meet(format!("{network}.prelu{k}.weight"), &[*outputs])?;
        }
    }
    walk.affine("pnet.conv4_1", &[2, 32, 1, 1])?;
    walk.affine("pnet.conv4_2", &[4, 32, 1, 1])?;
    let dense: [(&str, usize, usize, usize, &[usize]); 2] =
        [("rnet", 4, 576, 128, &[2, 4]), ("onet", 5, 1152, 256, &[2, 4, 10])];
    for (network, k, inputs, width, outputs) in dense {
        walk.affine(&format!("{network}.dense{k}"), &[width, inputs])?;
        walk.meet(format!("{network}.prelu{k}.weight"), &[width])?;
        for (head, outputs) in (1..).zip(outputs) {
            walk.affine(&format!("{network}.dense{}_{head}", k + 1), &[*outputs, width])?;
        }
    }
    walk.finish()
}
