//! Encoders of the pSp family: a trunk, perhaps a pyramid, and a head.

use super::faces::ir_se_trunk;
use super::{Fault, Shapes, Walk};

/// Blocks that see the coarsest map, and the first that sees the finest.
const MIDDLE: usize = 3;
const FINE: usize = 7;
/// Side of the trunk's last map, for images of 256 px, which halve four times.
const LAST: usize = 16;
/// Blocks of ResNet34.
const BASIC_BLOCKS: usize = 16;

/// All of an encoder's tensors.
pub(super) fn style_encoder(shapes: &Shapes) -> Result<(), Fault> {
    let mut walk = Walk::of(shapes);
    let [rows, w_dim] = walk.look("latent_avg")?;
    walk.meet("latent_avg", &[rows, w_dim])?;
    // The map behind the last block of each resolution, and its channels.
    let widths = if walk.contains("conv1.weight") { resnet34(&mut walk)? } else { ir_se_trunk(&mut walk, 24)? };
    let [.., fine, middle, last] = widths.as_slice() else {
        return Err(Fault::Missing("body.….shortcut".to_owned()));
    };
    if walk.contains("linear.weight") {
        walk.affine("linear", &[w_dim, *last])?;
        return walk.finish();
    }
    let pyramid = walk.contains("latlayer1.weight");
    if pyramid {
        walk.affine("latlayer1", &[*last, *middle, 1, 1])?;
        walk.affine("latlayer2", &[*last, *fine, 1, 1])?;
    }
    for i in 0..rows {
        let side = match i {
            _ if !pyramid => LAST,
            0..MIDDLE => LAST,
            MIDDLE..FINE => 2 * LAST,
            _ => 4 * LAST,
        };
        for k in 0..side.ilog2() as usize {
            let inputs = if k == 0 { *last } else { w_dim };
            // Each is followed by an activation, which has a number of its own.
            walk.affine(&format!("styles.{i}.convs.{}", 2 * k), &[w_dim, inputs, 3, 3])?;
        }
        walk.affine(&format!("styles.{i}.linear"), &[w_dim, w_dim])?;
    }
    walk.finish()
}

/// torchvision's, with slopes behind its stem; gives the channels of each resolution's last map.
fn resnet34(walk: &mut Walk<'_>) -> Result<Vec<usize>, Fault> {
    let [mut channels, colours, ..] = walk.look::<4>("conv1.weight")?;
    walk.meet("conv1.weight", &[channels, colours, 7, 7])?;
    walk.norm("bn1", channels)?;
    walk.meet("relu.weight", &[channels])?;
    let mut widths = Vec::new();
    for i in 0..BASIC_BLOCKS {
        let name = format!("body.{i}");
        let [outputs, ..] = walk.look::<4>(&format!("{name}.conv1.weight"))?;
        walk.meet(format!("{name}.conv1.weight"), &[outputs, channels, 3, 3])?;
        walk.norm(&format!("{name}.bn1"), outputs)?;
        walk.meet(format!("{name}.conv2.weight"), &[outputs, outputs, 3, 3])?;
        walk.norm(&format!("{name}.bn2"), outputs)?;
        if outputs != channels {
            walk.meet(format!("{name}.downsample.0.weight"), &[outputs, channels, 1, 1])?;
            walk.norm(&format!("{name}.downsample.1"), outputs)?;
            widths.push(channels);
        }
        channels = outputs;
    }
    widths.push(channels);
    Ok(widths)
}
