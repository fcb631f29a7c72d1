//! StyleGAN3 under NVIDIA's names: `synthesis.L{i}_{size}_{channels}`.

use super::{Fault, Shapes, Walk};

/// All of a generator's tensors, whatever its size. Filters are as long as the settings make them, which the network checks.
pub(super) fn stylegan3(shapes: &Shapes) -> Result<(), Fault> {
    let mut walk = Walk::of(shapes);
    let [w_dim] = walk.look("mapping.w_avg")?;
    walk.meet("mapping.w_avg", &[w_dim])?;
    let [_, z_dim] = walk.look("mapping.fc0.weight")?;
    let mapping = (0..).take_while(|i| walk.contains(&format!("mapping.fc{i}.weight"))).count();
    for i in 0..mapping {
        walk.affine(&format!("mapping.fc{i}"), &[w_dim, if i == 0 { z_dim } else { w_dim }])?;
    }
    let [channels, _] = walk.look("synthesis.input.weight")?;
    walk.meet("synthesis.input.weight", &[channels, channels])?;
    walk.meet("synthesis.input.freqs", &[channels, 2])?;
    walk.meet("synthesis.input.phases", &[channels])?;
    walk.meet("synthesis.input.transform", &[3, 3])?;
    walk.affine("synthesis.input.affine", &[4, w_dim])?;
    let mut layers = Vec::new();
    for name in shapes.keys() {
        let layer = name.strip_prefix("synthesis.L").and_then(|rest| rest.strip_suffix(".magnitude_ema"));
        let parts = layer.map(|layer| layer.split('_').map(str::parse).collect::<Vec<Result<usize, _>>>());
        if let Some([Ok(index), Ok(_), Ok(outputs)]) = parts.as_deref() {
            layers.push((*index, *outputs, format!("synthesis.L{}", layer.unwrap_or_default())));
        }
    }
    layers.sort();
    let mut inputs = channels;
    for (place, (index, outputs, name)) in layers.iter().enumerate() {
        if *index != place {
            return Err(Fault::Missing(format!("synthesis.L{place}_….magnitude_ema")));
        }
        let [_, _, side, _] = walk.look(&format!("{name}.weight"))?;
        walk.affine(&format!("{name}.affine"), &[inputs, w_dim])?;
        walk.meet(format!("{name}.weight"), &[*outputs, inputs, side, side])?;
        walk.meet(format!("{name}.bias"), &[*outputs])?;
        walk.meet(format!("{name}.magnitude_ema"), &[])?;
        for filter in ["up_filter", "down_filter"] {
            let filter = format!("{name}.{filter}");
            if let Some(shape) = shapes.get(&filter) {
                walk.meet(filter, shape)?;
            }
        }
        inputs = *outputs;
    }
    walk.finish()
}
