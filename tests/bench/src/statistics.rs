//! Means with confidence intervals: by a bootstrap over faces, and over seeds where there are several.
//!
//! The bootstrap draws faces with replacement, the same draw for every text and method, since a face that is hard for one text
//! is hard for another; a mean over texts is then the mean of the texts' means under one draw. Differences between methods are
//! taken face by face before the draw (paired).

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;

/// Draws of a bootstrap.
const DRAWS: usize = 1000;
/// The seed of all bootstraps.
const SEED: u64 = 0x5eed;
/// Student's t, two-sided 95 %, for 1 to 9 degrees of freedom.
const STUDENT: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/// A 95 % interval.
pub type Interval = [f64; 2];

/// Values of one figure by face: means over seeds, for the faces it applies to.
pub type ByFace = BTreeMap<u64, f64>;

/// The mean over texts of the means over faces, with its bootstrap interval; none without values.
pub fn mean(texts: &[&ByFace]) -> Option<(f64, Interval)> {
    let texts: Vec<_> = texts.iter().filter(|values| !values.is_empty()).collect();
    if texts.is_empty() {
        return None;
    }
    let mut known: BTreeMap<u64, usize> = BTreeMap::new();
    for face in texts.iter().flat_map(|values| values.keys()) {
        let next = known.len();
        known.entry(*face).or_insert(next);
    }
    // Faces as places of the draw.
    let placed: Vec<Vec<(usize, f64)>> =
        texts.iter().map(|values| values.iter().map(|(face, value)| (known[face], *value)).collect()).collect();
    let over_texts = |drawn: &[u32]| {
        let mut means = Vec::with_capacity(placed.len());
        for values in &placed {
            let (mut sum, mut count) = (0.0, 0_u32);
            for &(place, value) in values {
                sum += f64::from(drawn[place]) * value;
                count += drawn[place];
            }
            // A draw may hold none of a text's faces, if they are very few.
            if count > 0 {
                means.push(sum / f64::from(count));
            }
        }
        average(&means)
    };
    let found = over_texts(&vec![1; known.len()])?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut drawn_means: Vec<f64> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut drawn = vec![0_u32; known.len()];
        for _ in 0..known.len() {
            // Safe to narrow: the product of a 32-bit fraction and a length is below the length after the shift.
            drawn[((u64::from(rng.next_u32()) * known.len() as u64) >> 32) as usize] += 1;
        }
        drawn_means.extend(over_texts(&drawn));
    }
    drawn_means.sort_by(f64::total_cmp);
    let at = |share: f64| drawn_means[((drawn_means.len() - 1) as f64 * share).round() as usize];
    Some((found, [at(0.025), at(0.975)]))
}

/// `a - b`, face by face, where both have a value.
pub fn difference(a: &ByFace, b: &ByFace) -> ByFace {
    a.iter().filter_map(|(face, value)| Some((*face, value - b.get(face)?))).collect()
}

/// The interval of a mean over runs with different seeds, by Student's t; none for fewer than two.
pub fn over_seeds(means: &[f64]) -> Option<Interval> {
    let degrees = means.len().checked_sub(1).filter(|degrees| *degrees > 0)?;
    let mean = average(means)?;
    let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / degrees as f64;
    let factor = STUDENT.get(degrees - 1).copied().unwrap_or(2.0);
    let half = factor * (variance / means.len() as f64).sqrt();
    Some([mean - half, mean + half])
}

/// The mean; none of nothing.
pub fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: impl Fn(u64) -> f64) -> ByFace {
        (0..200).map(|face| (face, of(face))).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_a_binomial() {
        let half = values(|face| f64::from(u8::from(face % 2 == 0)));
        let (found, [low, high]) = mean(&[&half]).unwrap();
        assert_eq!(found, 0.5);
        // 1.96 * sqrt(.25 / 200) = .069
        assert!((low - 0.431).abs() < 0.015 && (high - 0.569).abs() < 0.015, "{low} {high}");
        assert_eq!(mean(&[&half]), mean(&[&half]));
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn texts_count_alike_and_share_their_draws() {
        let (low, high) = (values(|_| 0.0), (0..10).map(|face| (face, 1.0)).collect::<ByFace>());
        assert_eq!(mean(&[&low, &high]).unwrap(), (0.5, [0.5, 0.5]));
        // Opposite texts cancel in every draw that they share.
        let up = values(|face| face as f64);
        let down = values(|face| -(face as f64));
        let (found, [l, h]) = mean(&[&up, &down]).unwrap();
        assert!(found.abs() < 1e-9 && l.abs() < 1e-9 && h.abs() < 1e-9);
    }

    #[test]
    fn differences_are_paired() {
        let a = values(|face| face as f64 + 1.0);
        let b: ByFace = (0..50).map(|face| (face, face as f64)).collect();
        let apart = difference(&a, &b);
        assert_eq!((apart.len(), mean(&[&apart])), (50, Some((1.0, [1.0, 1.0]))));
    }

    #[test]
    fn seeds_have_a_students_interval() {
        assert_eq!(over_seeds(&[0.5]), None);
        let [low, high] = over_seeds(&[0.4, 0.5, 0.6]).unwrap();
        // sd .1, over three: .1 / sqrt 3 * 4.303 = .248
        assert!((low - 0.2516).abs() < 1e-3 && (high - 0.7484).abs() < 1e-3);
    }
}
