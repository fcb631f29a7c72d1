//! The least that a stage has to do, counted from the layers' sizes.
//!
//! Multiply-adds of convolutions, matrix products and attention; a gradient to a frozen layer's input costs as much as its
//! output. Bytes of numbers in the precision of generator and CLIP, as if e4e and the mapper had it too: weights once a pass and direction; a layer's output once written and once read, and
//! where a gradient follows read again, with its gradient written and read. What costs next to nothing or can be had for less is left out:
//! filters of four by four, resizing, random views, losses, optimisers. So time above the floor is not all waste, and time below it
//! means that a kernel needs fewer products than the plain form (Winograd's).

use super::ceilings::Ceilings;
use super::random::clip::ClipModel;
use super::random::{Cost, FLOAT, WIDTH, count, encoder, generator};
use clap::ValueEnum;
use domain::Precision;
use domain::edit::{CfMapper, ClipNce, MapperNetwork, Views};
use serde::Serialize;

/// Height and width of every CLIP's input here, px.
const CLIP_SIDE: i64 = 224;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Pictures to latents by e4e.
    Invert,
    /// One step of `clip-nce` with its defaults: draw, look, go back, move.
    Optimise,
    /// One step of a `cf-mapper`'s training with its defaults, but for the batch.
    Train,
    /// Latents through a mapper to pictures.
    Apply,
    /// Pictures to PNG files and back to pixels, on one thread; no network.
    Picture,
}

/// The least of one pass or step over a batch.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Floor {
    /// Multiply-adds.
    pub multiply_adds: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Floor {
    /// Of a stage over `batch` images of `side` px.
    pub fn of(stage: Stage, side: i64, clip: ClipModel, batch: u64, precision: Precision) -> Self {
        let single = Self::single(stage, side, clip, batch);
        // A picture's bytes are bytes.
        let narrow = if stage == Stage::Picture { FLOAT } else { precision.bytes() };
        Self { bytes: single.bytes * narrow / FLOAT, ..single }
    }

    /// In single precision.
    fn single(stage: Stage, side: i64, clip: ClipModel, batch: u64) -> Self {
        let drawn = || generator::generator(side).cost;
        match stage {
            Stage::Invert => forward(encoder::encoder(generator::n_latent(side)).cost, batch),
            Stage::Optimise => guided(side, clip, &ClipNce::default().views, batch),
            Stage::Train => Self::training(side, clip, &CfMapper::default(), batch),
            Stage::Apply => {
                let through = forward(mapper(side, CfMapper::default().depth), batch);
                // The image as numbers and as bytes.
                let raster = Self { multiply_adds: 0, bytes: (FLOAT + 1) * batch * count(&[3, side, side]) };
                through.and(forward(drawn(), batch)).and(raster)
            }
            // Read to encode, written by decoding; the files are small beside it.
            Stage::Picture => Self { multiply_adds: 0, bytes: 2 * batch * count(&[3, side, side]) },
        }
    }

    /// Of a step of this training with `batch` images, in single precision. The mapper's text is folded once a step.
    pub fn training(side: i64, clip: ClipModel, method: &CfMapper, batch: u64) -> Self {
        let mut step =
            guided(side, clip, &method.views, batch).and(gradient(trained(mapper(side, method.depth)), batch));
        if method.guards.identity > 0.0 {
            step = step.and(gradient(encoder::recogniser().cost, batch));
        }
        match method.network {
            // Two layers, once.
            MapperNetwork::Compact => step,
            MapperNetwork::Published => step.and(gradient(trained(texts(side, method.depth)), 1)),
        }
    }

    /// Seconds that a machine takes for it at its ceilings, if it can multiply and move memory at once.
    pub fn seconds(self, ceilings: &Ceilings) -> f64 {
        let products = 2.0 * self.multiply_adds as f64 / (ceilings.matmul_gflops * 1e9);
        products.max(self.bytes as f64 / (ceilings.copy_gigabytes * 1e9))
    }

    fn and(self, other: Self) -> Self {
        Self { multiply_adds: self.multiply_adds + other.multiply_adds, bytes: self.bytes + other.bytes }
    }
}

fn forward(cost: Cost, images: u64) -> Floor {
    let multiply_adds = (cost.weighted + cost.paired) * images;
    Floor { multiply_adds, bytes: FLOAT * (cost.weights + 2 * cost.activations * images) }
}

fn gradient(cost: Cost, images: u64) -> Floor {
    let multiply_adds = (2 * cost.weighted + 3 * cost.paired) * images;
    Floor { multiply_adds, bytes: FLOAT * (2 * cost.weights + 5 * cost.activations * images) }
}

/// Images drawn, looked at through views, and the gradient back to their latents.
fn guided(side: i64, clip: ClipModel, views: &Views, batch: u64) -> Floor {
    let seen = batch * u64::from(views.per_image());
    // A view has coordinates and colours for each pixel, and what CLIP reads.
    let view = count(&[if views.views == 0 { 0 } else { 5 }, side, side]) + count(&[3, CLIP_SIDE, CLIP_SIDE]);
    let views = gradient(Cost { activations: view, ..Cost::default() }, seen);
    gradient(generator::generator(side).cost, batch).and(gradient(clip.network().cost, seen)).and(views)
}

/// A mapper whose text is folded: a fusing layer and `depth + 1` more for each latent, in three groups.
fn mapper(side: i64, depth: u32) -> Cost {
    let (latents, layers) = (generator::n_latent(side), i64::from(depth) + 2);
    Cost {
        weighted: count(&[latents, layers, WIDTH, WIDTH]),
        paired: 0,
        weights: count(&[3, layers, WIDTH, WIDTH]),
        activations: count(&[latents, layers, WIDTH]),
    }
}

/// The published mappers of the text: one of `depth + 1` layers for each latent.
fn texts(side: i64, depth: u32) -> Cost {
    let shape = [generator::n_latent(side), i64::from(depth) + 1, WIDTH];
    let weights = count(&shape) * WIDTH.unsigned_abs();
    Cost { weighted: weights, paired: 0, weights, activations: count(&shape) }
}

/// Layers whose weights are not frozen: theirs are gradients, too, as if both sides were activations.
fn trained(Cost { weighted, paired, weights, activations }: Cost) -> Cost {
    Cost { weighted: 0, paired: weighted + paired, weights, activations }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B32: ClipModel = ClipModel::B32;

    /// With four views: twice 16.1 thousand million for the generator of 64 px, and eight times 4.4 for CLIP, attention three times.
    #[test]
    fn a_step_goes_there_and_back() {
        let [drawn, clip] = [generator::generator(64).cost, B32.network().cost];
        let by_hand = 2 * drawn.weighted + 4 * (2 * clip.weighted + 3 * clip.paired);
        assert_eq!(Floor::single(Stage::Optimise, 64, B32, 1).multiply_adds, by_hand);
        assert!((by_hand as f64 / 1e9 - 67.7).abs() < 0.5, "{by_hand}");
        // The mapper: ten latents, six layers, forward and two gradients.
        let trained = Floor::single(Stage::Train, 64, B32, 1).multiply_adds - by_hand;
        assert_eq!(trained, 3 * 10 * 6 * 512 * 512);
    }

    /// As the default, but for five layers a latent and image instead of six, and four a latent that the images share.
    #[test]
    fn the_published_mapper_reads_the_text_once_a_step() {
        let compact = CfMapper { depth: 3, ..CfMapper::default() };
        let published = CfMapper { network: MapperNetwork::Published, ..compact.clone() };
        for batch in [1, 4] {
            let [compact, published] =
                [&compact, &published].map(|method| Floor::training(64, B32, method, batch).multiply_adds);
            assert_eq!(published - compact, 3 * 10 * 4 * 512 * 512);
        }
    }

    #[test]
    fn a_batch_multiplies_arithmetic_and_shares_weights() {
        for stage in [Stage::Invert, Stage::Optimise, Stage::Train, Stage::Apply] {
            let [one, four] = [1, 4].map(|batch| Floor::single(stage, 64, B32, batch));
            assert_eq!(four.multiply_adds, 4 * one.multiply_adds, "{stage:?}");
            assert!(one.bytes < four.bytes && four.bytes < 4 * one.bytes, "{stage:?}");
        }
    }

    #[test]
    fn narrow_numbers_are_half_the_bytes() {
        let [single, narrow] =
            [Precision::Fp32, Precision::Bf16].map(|precision| Floor::of(Stage::Optimise, 64, B32, 1, precision));
        assert_eq!((narrow.bytes, narrow.multiply_adds), (single.bytes / 2, single.multiply_adds));
    }

    #[test]
    fn the_slower_of_arithmetic_and_memory_is_the_floor() {
        let ceilings = Ceilings { threads: 1, precision: Precision::Fp32, matmul_gflops: 10.0, copy_gigabytes: 1.0 };
        let floor = |multiply_adds, bytes| Floor { multiply_adds, bytes }.seconds(&ceilings);
        assert_eq!([floor(5_000_000_000, 0), floor(5_000_000_000, 3_000_000_000)], [1.0, 3.0]);
    }
}
