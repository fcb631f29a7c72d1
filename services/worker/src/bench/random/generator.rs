//! StyleGAN2 of configuration F, in rosinality's names.

use super::{Convolution, Network, WIDTH, count};

/// Layers of the mapping network.
const MAPPING: usize = 8;
/// A noise strength as trained networks have it.
const NOISE: f64 = 0.1;
/// Up to nine levels add up to an image.
const COLOUR: f64 = 0.15;

/// Channels at a side: 512 up to 64 px, then half at every doubling.
pub fn channels(side: i64) -> i64 {
    (32_768 / side).min(WIDTH)
}

/// Latents of W+ of a generator of `side` px.
pub fn n_latent(side: i64) -> i64 {
    2 * i64::from(side.ilog2()) - 2
}

/// The generator of `side` px, a power of two from 8 on. Its cost is that of drawing an image from W+; mapping z to w is no part
/// of it, nor are the filters after an up-convolution, which read and write what is counted and multiply little.
pub fn generator(side: i64) -> Network {
    let mut network = Network::default();
    for layer in 1..=MAPPING {
        // The learning-rate factor of 0.01 is stored as weights a hundred times too large.
        network.normal(format!("style.{layer}.weight"), &[WIDTH, WIDTH], 100.0);
        network.constant(format!("style.{layer}.bias"), &[WIDTH], 0.0);
    }
    network.normal("input.input".to_owned(), &[1, WIDTH, 4, 4], 1.0);
    let bottom = Convolution { inputs: WIDTH, outputs: WIDTH, kernel: 3, grid: 4 };
    styled(&mut network, "conv1", 0, bottom, false);
    to_rgb(&mut network, "to_rgb1", 4);
    for level in 0..usize::try_from(side.ilog2()).unwrap_or(0).saturating_sub(2) {
        let to = 8 << level;
        let (inputs, outputs) = (channels(to / 2), channels(to));
        let up = Convolution { inputs, outputs, kernel: 3, grid: to / 2 };
        styled(&mut network, &format!("convs.{}", 2 * level), 2 * level + 1, up, true);
        let same = Convolution { inputs: outputs, grid: to, ..up };
        styled(&mut network, &format!("convs.{}", 2 * level + 1), 2 * level + 2, same, false);
        to_rgb(&mut network, &format!("to_rgbs.{level}"), to);
    }
    network
}

fn modulation(network: &mut Network, name: &str, inputs: i64) {
    network.normal(format!("{name}.conv.modulation.weight"), &[inputs, WIDTH], 1.0);
    network.constant(format!("{name}.conv.modulation.bias"), &[inputs], 1.0);
    network.layer(count(&[inputs, WIDTH]), count(&[inputs, WIDTH]), inputs.unsigned_abs());
}

fn styled(network: &mut Network, name: &str, noise: usize, size: Convolution, up: bool) {
    let Convolution { inputs, outputs, kernel, grid } = size;
    let side = if up { 2 * grid } else { grid };
    let shape = [1, outputs, inputs, kernel, kernel];
    network.normal(format!("{name}.conv.weight"), &shape, 1.0);
    modulation(network, name, inputs);
    network.constant(format!("{name}.noise.weight"), &[1], NOISE);
    network.constant(format!("{name}.activate.bias"), &[outputs], 0.0);
    network.normal(format!("noises.noise_{noise}"), &[1, 1, side, side], 1.0);
    // Modulated input, convolution, and the activation behind it; between them the filter of an up layer.
    let image = count(&[outputs, side, side]);
    let read = if up { count(&[inputs, grid, grid]) } else { image };
    network.layer(count(&shape), size.products(), read + image * if up { 3 } else { 2 });
}

fn to_rgb(network: &mut Network, name: &str, side: i64) {
    let size = Convolution { inputs: channels(side), outputs: 3, kernel: 1, grid: side };
    network.normal(format!("{name}.conv.weight"), &[1, 3, size.inputs, 1, 1], COLOUR);
    modulation(network, name, size.inputs);
    network.constant(format!("{name}.bias"), &[1, 3, 1, 1], 0.0);
    network.layer(count(&[3, size.inputs]), size.products(), count(&[size.inputs + 3, side, side]));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: 512 x 512 x 9 filters at each of 16 pixels.
    #[test]
    fn one_layer_costs_what_a_hand_counts() {
        let conv1 = Convolution { inputs: 512, outputs: 512, kernel: 3, grid: 4 };
        assert_eq!(conv1.products(), 37_748_736);
        let first = Convolution { inputs: 3, outputs: 768, kernel: 32, grid: 7 };
        assert_eq!(first.products(), 768 * 3072 * 49);
    }

    /// 30,370,060, 30,276,583 and 30,034,338 parameters, and 74.3, 59.7 and 45.1 thousand million multiply-adds an image: counts
    /// made of the published code.
    #[test]
    fn the_generators_have_the_published_sizes_and_costs() {
        for (side, parameters, products) in [(1024, 30_370_060, 74.3), (512, 30_276_583, 59.7), (256, 30_034_338, 45.1)]
        {
            let network = generator(side);
            assert_eq!(network.parameters("noises."), parameters);
            let found = network.cost.weighted as f64 / 1e9;
            assert!((found - products).abs() < 0.1, "{side} px: {found}");
        }
        assert_eq!([64, 1024].map(n_latent), [10, 18]);
    }
}
