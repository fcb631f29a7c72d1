//! OpenAI's CLIPs with a vision transformer, in their own names. The cost is that of the image tower: texts are encoded once per edit.

use super::{Convolution, Network, count};
use clap::ValueEnum;
use serde::Serialize;

/// Token ids: 512 bytes, with and without a word's end, 48,894 merges, start, end.
const VOCABULARY: i64 = 49_408;
const CONTEXT: i64 = 77;
const SIDE: i64 = 224;
const TEXT_LAYERS: i64 = 12;
/// Width of an attention head.
const HEAD: i64 = 64;

/// A published CLIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
pub enum ClipModel {
    /// 86 million parameters in the image tower, 50 tokens an image.
    #[value(name = "vit-b-32")]
    #[serde(rename = "vit-b-32")]
    B32,
    /// As many, 197 tokens.
    #[value(name = "vit-b-16")]
    #[serde(rename = "vit-b-16")]
    B16,
    /// 303 million, 257 tokens.
    #[value(name = "vit-l-14")]
    #[serde(rename = "vit-l-14")]
    L14,
}

impl ClipModel {
    /// Height and width of a patch, px; width and layers of the image tower; width of the text tower; of the embedding.
    fn sizes(self) -> [i64; 5] {
        match self {
            Self::B32 => [32, 768, 12, 512, 512],
            Self::B16 => [16, 768, 12, 512, 512],
            Self::L14 => [14, 1024, 24, 768, 768],
        }
    }

    /// Both towers.
    pub fn network(self) -> Network {
        let [patch, width, layers, text, embed] = self.sizes();
        let (grid, deviation) = (SIDE / patch, |width: i64| (width as f64).sqrt().recip());
        let tokens = grid * grid + 1;
        let mut network = Network::default();
        let embedding = Convolution { inputs: 3, outputs: width, kernel: patch, grid };
        network.convolution("visual.conv1", embedding, false);
        network.normal("visual.class_embedding".to_owned(), &[width], deviation(width));
        network.normal("visual.positional_embedding".to_owned(), &[tokens, width], deviation(width));
        network.norm("visual.ln_pre", width, 1.0, false);
        network.norm("visual.ln_post", width, 1.0, false);
        for i in 0..layers {
            block(&mut network, &format!("visual.transformer.resblocks.{i}"), width, layers);
            attend(&mut network, tokens, width);
        }
        network.normal("visual.proj".to_owned(), &[width, embed], deviation(width));
        network.layer(count(&[width, embed]), count(&[width, embed]), embed.unsigned_abs());
        network.normal("token_embedding.weight".to_owned(), &[VOCABULARY, text], 0.02);
        network.normal("positional_embedding".to_owned(), &[CONTEXT, text], 0.01);
        for i in 0..TEXT_LAYERS {
            block(&mut network, &format!("transformer.resblocks.{i}"), text, TEXT_LAYERS);
        }
        network.norm("ln_final", text, 1.0, false);
        network.normal("text_projection".to_owned(), &[text, embed], deviation(text));
        network.constant("logit_scale".to_owned(), &[], 4.6052);
        network
    }
}

/// A block's tensors. As CLIP draws them: branches get smaller the more there are.
fn block(network: &mut Network, name: &str, width: i64, layers: i64) {
    let branch = ((2 * layers) as f64).sqrt().recip();
    network.norm(&format!("{name}.ln_1"), width, 1.0, false);
    network.norm(&format!("{name}.ln_2"), width, 1.0, false);
    for (part, [outputs, inputs], gain) in [
        ("attn.in_proj_", [3 * width, width], 1.0),
        ("attn.out_proj.", [width, width], branch),
        ("mlp.c_fc.", [4 * width, width], 1.0),
        ("mlp.c_proj.", [width, 4 * width], branch),
    ] {
        network.normal(format!("{name}.{part}weight"), &[outputs, inputs], gain * (inputs as f64).sqrt().recip());
        network.constant(format!("{name}.{part}bias"), &[outputs], 0.0);
    }
}

/// A block's cost on so many tokens.
fn attend(network: &mut Network, tokens: i64, width: i64) {
    let weights = 12 * count(&[width, width]);
    let heads = width / HEAD;
    // Two norms, queries, keys and values, shares, their sums, output, two sums with what came in, the MLP's hidden layer with its
    // activation, and its output.
    let outputs = 17 * count(&[tokens, width]) + 2 * count(&[heads, tokens, tokens]);
    network.layer(weights, weights * tokens.unsigned_abs(), outputs);
    network.cost.paired += 2 * count(&[tokens, tokens, width]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 151,277,313, 149,620,737 and 427,616,513 parameters, as OpenAI's files have; 4.4 thousand million multiply-adds in the
    /// smallest image tower, as counted of the published code.
    #[test]
    fn the_clips_have_the_published_sizes_and_costs() {
        for (model, parameters) in
            [(ClipModel::B32, 151_277_313), (ClipModel::B16, 149_620_737), (ClipModel::L14, 427_616_513)]
        {
            assert_eq!(model.network().parameters("none"), parameters, "{model:?}");
        }
        let cost = ClipModel::B32.network().cost;
        let products = (cost.weighted + cost.paired) as f64 / 1e9;
        assert!((products - 4.41).abs() < 0.01, "{products}");
    }
}
