//! StyleGAN2 under rosinality's names.

use super::{Fault, Shapes, Walk};

/// All of a generator's tensors, whatever its size.
pub(super) fn stylegan2(shapes: &Shapes) -> Result<(), Fault> {
    let mut walk = Walk::of(shapes);
    let [_, w_dim] = walk.look("conv1.conv.modulation.weight")?;
    let [_, z_dim] = walk.look("style.1.weight")?;
    let mapping = (1..).take_while(|i| walk.contains(&format!("style.{i}.weight"))).count();
    let mut inputs = z_dim;
    for i in 1..=mapping {
        // Only the last is as wide as a latent must be: NVIDIA's program can be told of other widths (`layer_features`).
        let [outputs, _] = walk.look(&format!("style.{i}.weight"))?;
        walk.affine(&format!("style.{i}"), &[if i == mapping { w_dim } else { outputs }, inputs])?;
        inputs = outputs;
    }
    walk.meet("latent_avg", &[w_dim])?;
    let [_, mut channels, _, _] = walk.look("input.input")?;
    walk.meet("input.input", &[1, channels, 4, 4])?;
    channels = styled(&mut walk, "conv1", channels, w_dim)?;
    to_rgb(&mut walk, "to_rgb1", channels, w_dim)?;
    // What lies behind a gap is found as surplus.
    let doublings = (0..).take_while(|i| walk.contains(&format!("to_rgbs.{i}.bias"))).count();
    for i in 0..doublings {
        channels = styled(&mut walk, &format!("convs.{}", 2 * i), channels, w_dim)?;
        channels = styled(&mut walk, &format!("convs.{}", 2 * i + 1), channels, w_dim)?;
        to_rgb(&mut walk, &format!("to_rgbs.{i}"), channels, w_dim)?;
        // The filter is built in; that these hold the same one is the import's to check.
        walk.may_meet(&format!("convs.{}.conv.blur.kernel", 2 * i), &[4, 4])?;
        walk.may_meet(&format!("to_rgbs.{i}.upsample.kernel"), &[4, 4])?;
    }
    for i in 0..=2 * doublings {
        let side = 1 << (i.div_ceil(2).min(40) + 2);
        // A generator whose noise weighs nothing needs none; of another the network asks for it.
        walk.may_meet(&format!("noises.noise_{i}"), &[1, 1, side, side])?;
    }
    walk.finish()
}

/// A convolution that a latent modulates; gives its output channels.
fn styled(walk: &mut Walk<'_>, name: &str, inputs: usize, w_dim: usize) -> Result<usize, Fault> {
    let [_, outputs, ..] = walk.look::<5>(&format!("{name}.conv.weight"))?;
    walk.meet(format!("{name}.conv.weight"), &[1, outputs, inputs, 3, 3])?;
    walk.affine(&format!("{name}.conv.modulation"), &[inputs, w_dim])?;
    walk.meet(format!("{name}.noise.weight"), &[1])?;
    walk.meet(format!("{name}.activate.bias"), &[outputs])?;
    Ok(outputs)
}

fn to_rgb(walk: &mut Walk<'_>, name: &str, inputs: usize, w_dim: usize) -> Result<(), Fault> {
    walk.meet(format!("{name}.conv.weight"), &[1, 3, inputs, 1, 1])?;
    walk.affine(&format!("{name}.conv.modulation"), &[inputs, w_dim])?;
    walk.meet(format!("{name}.bias"), &[1, 3, 1, 1])
}
