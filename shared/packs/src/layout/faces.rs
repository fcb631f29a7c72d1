//! IR-SE50 and LPIPS.

use super::{Fault, Shapes, Walk};

/// ArcFace's IR-SE50 with its head.
pub(super) fn ir_se50(shapes: &Shapes) -> Result<(), Fault> {
    let mut walk = Walk::of(shapes);
    let widths = ir_se_trunk(&mut walk, 24)?;
    let channels = widths.last().copied().unwrap_or(0);
    walk.norm("output_layer.0", channels)?;
    let [length, inputs] = walk.look("output_layer.3.weight")?;
    walk.affine("output_layer.3", &[length, inputs])?;
    walk.norm("output_layer.4", length)?;
    walk.finish()
}

/// The blocks of an IR-SE network; gives the channels of each resolution's last map.
pub(super) fn ir_se_trunk(walk: &mut Walk<'_>, blocks: usize) -> Result<Vec<usize>, Fault> {
    let [mut channels, colours, ..] = walk.look::<4>("input_layer.0.weight")?;
    walk.meet("input_layer.0.weight", &[channels, colours, 3, 3])?;
    walk.norm("input_layer.1", channels)?;
    walk.meet("input_layer.2.weight", &[channels])?;
    let mut widths = Vec::new();
    for i in 0..blocks {
        let name = format!("body.{i}.res_layer");
        let [outputs, ..] = walk.look::<4>(&format!("{name}.1.weight"))?;
        let [reduced, ..] = walk.look::<4>(&format!("{name}.5.fc1.weight"))?;
        walk.norm(&format!("{name}.0"), channels)?;
        walk.meet(format!("{name}.1.weight"), &[outputs, channels, 3, 3])?;
        walk.meet(format!("{name}.2.weight"), &[outputs])?;
        walk.meet(format!("{name}.3.weight"), &[outputs, outputs, 3, 3])?;
        walk.norm(&format!("{name}.4"), outputs)?;
        walk.meet(format!("{name}.5.fc1.weight"), &[reduced, outputs, 1, 1])?;
        walk.meet(format!("{name}.5.fc2.weight"), &[outputs, reduced, 1, 1])?;
        if outputs != channels {
            walk.meet(format!("body.{i}.shortcut_layer.0.weight"), &[outputs, channels, 1, 1])?;
            walk.norm(&format!("body.{i}.shortcut_layer.1"), outputs)?;
            widths.push(channels);
        }
        channels = outputs;
    }
    widths.push(channels);
    Ok(widths)
}

/// LPIPS on AlexNet or VGG16: the convolutions of torchvision's `features`, with the side of their filters, and one head on each of
/// the five maps, named by the last convolution before it.
pub(super) fn lpips(shapes: &Shapes) -> Result<(), Fault> {
    const ALEX: [(usize, usize); 5] = [(0, 11), (3, 5), (6, 3), (8, 3), (10, 3)];
    const VGG: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
    let mut walk = Walk::of(shapes);
    let [_, _, side, _] = walk.look("features.0.weight")?;
    let (convolutions, tapped): (Vec<_>, _) = if side == ALEX[0].1 {
        (ALEX.to_vec(), [0, 3, 6, 8, 10])
    } else {
        (VGG.map(|number| (number, 3)).to_vec(), [2, 7, 14, 21, 28])
    };
    let mut channels = 3;
    for (number, side) in convolutions {
        let name = format!("features.{number}");
        let [outputs, ..] = walk.look::<4>(&format!("{name}.weight"))?;
        walk.affine(&name, &[outputs, channels, side, side])?;
        channels = outputs;
        if let Some(k) = tapped.iter().position(|tap| *tap == number) {
            walk.meet(format!("lin{k}.model.1.weight"), &[1, channels, 1, 1])?;
        }
    }
    walk.finish()
}
