//! Random numbers that belong to an item, not to a process.
//!
//! An item's numbers are ChaCha12 keyed by SHA-256 over (purpose, source digest, edit digest, seed). The step is the
//! cipher's stream number, so the numbers of step 7 do not depend on how many were drawn in step 6: an item that stops,
//! a batch that is split and a training that resumes all see the same numbers, and no state needs saving.

use domain::Digest;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest as _, Sha256};

/// The name written into records.
pub const GENERATOR: &str = "chacha12/sha256-key/stream-per-step";

/// The key of one item's random numbers for one purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RngKey([u8; 32]);

impl RngKey {
    /// The key of `(purpose, source, edit, seed)`. `source` is the source image's digest, or for a mapper's training
    /// that of the training set.
    pub fn new(purpose: &str, source: &Digest, edit: &Digest, seed: u64) -> Self {
        let mut hash = Sha256::new();
        // The length first, so that no two purposes run into the digests alike.
        hash.update((purpose.len() as u64).to_le_bytes());
        hash.update(purpose.as_bytes());
        hash.update(source.as_bytes());
        hash.update(edit.as_bytes());
        hash.update(seed.to_le_bytes());
        Self(hash.finalize().into())
    }

    /// The generator of step `step`.
    pub fn at(&self, step: u64) -> ChaCha12Rng {
        let mut rng = ChaCha12Rng::from_seed(self.0);
        rng.set_stream(step);
        rng
    }
}

/// A number in `[0, 1)` with 24 random bits, exact in `f32`.
pub fn unit(rng: &mut impl RngCore) -> f64 {
    f64::from(rng.next_u32() >> 8) / f64::from(1_u32 << 24)
}

/// An integer in `0..bound`, by multiplication; for the sizes drawn here the bias is below 1e-4.
pub fn below(rng: &mut impl RngCore, bound: u32) -> u32 {
    // Safe to narrow: the product of a 32-bit fraction and `bound` is below `bound` after the shift.
    ((u64::from(rng.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// `count` standard normal numbers (Box and Muller 1958), each from 48 random bits, so none is beyond 6 deviations.
pub fn normals(rng: &mut impl RngCore, count: usize) -> Vec<f32> {
    let mut drawn = Vec::with_capacity(count + 1);
    while drawn.len() < count {
        // From (0, 1], or its logarithm would not be finite.
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * unit(rng)).sin_cos();
        // Narrowed on purpose: they go into f32 tensors.
        drawn.extend([(radius * cosine) as f32, (radius * sine) as f32]);
    }
    drawn.truncate(count);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_and_the_step_matter() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let first = |key: RngKey, step| key.at(step).next_u64();
        let base = first(RngKey::new("views", &a, &b, 0), 0);
        assert_eq!(base, first(RngKey::new("views", &a, &b, 0), 0));
        for other in [
            first(RngKey::new("order", &a, &b, 0), 0),
            first(RngKey::new("views", &b, &b, 0), 0),
            first(RngKey::new("views", &a, &a, 0), 0),
            first(RngKey::new("views", &a, &b, 1), 0),
            first(RngKey::new("views", &a, &b, 0), 1),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn draws_fill_their_range() {
        let mut rng = RngKey::new("test", &Digest::of(b""), &Digest::of(b""), 0).at(0);
        let drawn: Vec<_> = (0..1000).map(|_| below(&mut rng, 10)).collect();
        assert!((0..10).all(|n| drawn.contains(&n)) && drawn.iter().all(|&n| n < 10));
        let mean = (0..1000).map(|_| unit(&mut rng)).sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }

    #[test]
    fn normal_numbers_have_the_moments_they_should() {
        let mut rng = RngKey::new("test", &Digest::of(b""), &Digest::of(b""), 0).at(0);
        let drawn = normals(&mut rng, 20_001);
        assert_eq!(drawn.len(), 20_001);
        let moment = |power: i32| drawn.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / drawn.len() as f64;
        // Four standard errors each: sqrt(1, 2, 15, 96 / n).
        assert!(moment(1).abs() < 0.029 && (moment(2) - 1.0).abs() < 0.04, "{} {}", moment(1), moment(2));
        assert!(moment(3).abs() < 0.11 && (moment(4) - 3.0).abs() < 0.28, "{} {}", moment(3), moment(4));
    }
}
