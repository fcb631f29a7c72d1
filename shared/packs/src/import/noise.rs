//! Random numbers that an import must make up: from one seed, so that the same checkpoint always makes the same pack.

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};

/// The seed, as recorded in the manifest.
pub(super) const SEED: u64 = 2019;

/// Standard normal numbers; `stream` keeps those of two purposes apart.
pub(super) fn fixed(stream: usize, count: usize) -> Vec<f32> {
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    rng.set_stream(stream as u64);
    StandardNormal.sample_iter(&mut rng).take(count).collect()
}
