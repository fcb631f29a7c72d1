//! ArcFace's IR-SE50, and e4e: its body with a pyramid of maps and a style block per latent.

use super::{Convolution, Network, WIDTH, count};

/// Height and width of the images that e4e reads, px.
const SIDE: i64 = 256;
/// Likewise of what ArcFace reads.
const FACE: i64 = 112;
/// Width and number of the blocks of each resolution of IR-SE50.
const BODY: [(i64, usize); 4] = [(64, 3), (128, 4), (256, 14), (512, 3)];
/// The gain of the branches, of which twenty-four are added up.
const BRANCH: f64 = 0.3;
const SLOPE: f64 = 0.25;

/// The encoder to `n_latent` latents.
pub fn encoder(n_latent: i64) -> Network {
    let mut network = Network::default();
    let side = body(&mut network, SIDE);
    network.convolution("latlayer1", Convolution { inputs: 256, outputs: WIDTH, kernel: 1, grid: 2 * side }, true);
    network.convolution("latlayer2", Convolution { inputs: 128, outputs: WIDTH, kernel: 1, grid: 4 * side }, true);
    for i in 0..n_latent {
        let map = side
            * if i < 3 {
                1
            } else if i < 7 {
                2
            } else {
                4
            };
        for k in 0..map.ilog2() {
            let size = Convolution { inputs: WIDTH, outputs: WIDTH, kernel: 3, grid: map >> (k + 1) };
            network.convolution(&format!("styles.{i}.convs.{}", 2 * k), size, true);
        }
        network.normal(format!("styles.{i}.linear.weight"), &[WIDTH, WIDTH], 1.0);
        network.constant(format!("styles.{i}.linear.bias"), &[WIDTH], 0.0);
        network.layer(count(&[WIDTH, WIDTH]), count(&[WIDTH, WIDTH]), WIDTH.unsigned_abs());
    }
    network.normal("latent_avg".to_owned(), &[n_latent, WIDTH], 0.3);
    network
}

/// The network that tells faces apart.
pub fn recogniser() -> Network {
    let mut network = Network::default();
    let side = body(&mut network, FACE);
    let (inputs, layer) = (WIDTH * side * side, "output_layer");
    network.norm(&format!("{layer}.0"), WIDTH, 1.0, true);
    network.normal(format!("{layer}.3.weight"), &[WIDTH, inputs], (inputs as f64).sqrt().recip());
    network.constant(format!("{layer}.3.bias"), &[WIDTH], 0.0);
    network.norm(&format!("{layer}.4"), WIDTH, 1.0, true);
    let products = count(&[WIDTH, inputs]);
    network.layer(products, products, count(&[inputs + 2 * WIDTH]));
    network
}

/// IR-SE50 without its head, on images of `side` px; gives the side of the map it writes.
fn body(network: &mut Network, mut side: i64) -> i64 {
    network.convolution("input_layer.0", Convolution { inputs: 3, outputs: 64, kernel: 3, grid: side }, false);
    network.norm("input_layer.1", 64, 1.0, true);
    network.constant("input_layer.2.weight".to_owned(), &[64], SLOPE);
    let mut inputs = 64;
    let blocks = BODY.iter().flat_map(|&(channels, blocks)| (0..blocks).map(move |place| (channels, place == 0)));
    for (i, (channels, halves)) in blocks.enumerate() {
        side = block(network, &format!("body.{i}"), [inputs, channels], side, halves);
        inputs = channels;
    }
    side
}

/// A residual block with squeeze and excitation; gives the side of the map it writes.
fn block(network: &mut Network, name: &str, [inputs, outputs]: [i64; 2], side: i64, halves: bool) -> i64 {
    let to = if halves { side / 2 } else { side };
    let branch = format!("{name}.res_layer");
    network.norm(&format!("{branch}.0"), inputs, 1.0, true);
    network.convolution(&format!("{branch}.1"), Convolution { inputs, outputs, kernel: 3, grid: side }, false);
    network.constant(format!("{branch}.2.weight"), &[outputs], SLOPE);
    let second = Convolution { inputs: outputs, outputs, kernel: 3, grid: to };
    network.convolution(&format!("{branch}.3"), second, false);
    network.norm(&format!("{branch}.4"), outputs, BRANCH, true);
    for (part, inputs, outputs) in [("fc1", outputs, outputs / 16), ("fc2", outputs / 16, outputs)] {
        network.convolution(&format!("{branch}.5.{part}"), Convolution { inputs, outputs, kernel: 1, grid: 1 }, false);
    }
    // The normalisations, the slope, the gate and the sum write maps, too.
    network.layer(0, 0, count(&[inputs + outputs, side, side]) + 3 * count(&[outputs, to, to]));
    if inputs != outputs {
        let size = Convolution { inputs, outputs, kernel: 1, grid: to };
        network.convolution(&format!("{name}.shortcut_layer.0"), size, false);
        network.norm(&format!("{name}.shortcut_layer.1"), outputs, 1.0, true);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About 70 thousand million multiply-adds: counted of the published code.
    #[test]
    fn the_encoder_costs_about_a_generator() {
        let products = encoder(18).cost.weighted as f64 / 1e9;
        assert!((60.0..80.0).contains(&products), "{products}");
    }

    /// 43.8 million parameters and 6.3 thousand million multiply-adds, as of the published network.
    #[test]
    fn the_recogniser_has_the_published_size() {
        let network = recogniser();
        let products = network.cost.weighted as f64 / 1e9;
        assert!((products - 6.3).abs() < 0.1, "{products}");
        assert!((network.cost.weights as f64 / 1e6 - 43.8).abs() < 0.1, "{}", network.cost.weights);
    }
}
