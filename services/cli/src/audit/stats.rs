//! Intervals and tests for proportions of paired observations. Pure functions of counts; nothing here knows of images.
//!
//! Every interval is two-sided at 95 %. The tests hold the figures against statsmodels, SciPy and published examples.

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use statrs::distribution::{Binomial, DiscreteCDF as _};

/// The 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Resamples of a bootstrap, and permutations of a test.
pub const RESAMPLES: usize = 2000;

/// Lower and upper end.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Wilson's score interval of `k` successes in `n` trials, within 0 to 1; `None` without trials.
///
/// E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927) 209-212.
pub fn wilson(k: u64, n: u64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let (trials, rate) = (n as f64, k as f64 / n as f64);
    let widened = 1.0 + Z * Z / trials;
    let centre = (rate + Z * Z / (2.0 * trials)) / widened;
    let half = Z / widened * (rate * (1.0 - rate) / trials + Z * Z / (4.0 * trials * trials)).sqrt();
    // the ends are exact where no or every trial succeeded, and rounding must not say otherwise
    let low = if k == 0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if k == n { 1.0 } else { (centre + half).min(1.0) };
    Some(Interval { low, high })
}

/// Two yes-or-no observations of each of several units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PairedTable {
    /// Units with both.
    pub both: u64,
    /// Units with the first alone.
    pub first: u64,
    /// Units with the second alone.
    pub second: u64,
    /// Units with neither.
    pub neither: u64,
}

impl PairedTable {
    /// Counts observations (first, second).
    pub fn count(observations: impl Iterator<Item = (bool, bool)>) -> Self {
        observations.fold(Self::default(), |mut table, observed| {
            *match observed {
                (true, true) => &mut table.both,
                (true, false) => &mut table.first,
                (false, true) => &mut table.second,
                (false, false) => &mut table.neither,
            } += 1;
            table
        })
    }

    /// Units.
    pub const fn n(&self) -> u64 {
        self.both + self.first + self.second + self.neither
    }

    /// Interval of the rate of the first less that of the second, within -1 to 1; `None` without units. Method 10: Wilson's intervals
    /// of both rates, squared and added, with a correlation whose cross product is corrected by n/2 where it is positive.
    ///
    /// R. G. Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired data, Statistics
    /// in Medicine 17 (1998) 2635-2650.
    pub fn newcombe(&self) -> Option<Interval> {
        let n = self.n();
        let (first, second) = (self.both + self.first, self.both + self.second);
        let (one, other) = (wilson(first, n)?, wilson(second, n)?);
        let [a, b, c, d] = [self.both, self.first, self.second, self.neither].map(|count| count as f64);
        let margins = (a + b) * (c + d) * (a + c) * (b + d);
        let cross = a * d - b * c;
        let cross = if cross > 0.0 { (cross - n as f64 / 2.0).max(0.0) } else { cross };
        let correlation = if margins > 0.0 { cross / margins.sqrt() } else { 0.0 };
        let (p, q) = (first as f64 / n as f64, second as f64 / n as f64);
        let width = |x: f64, y: f64| (x * x - 2.0 * correlation * x * y + y * y).max(0.0).sqrt();
        Some(Interval {
            low: (p - q - width(p - one.low, other.high - q)).max(-1.0),
            high: (p - q + width(one.high - p, q - other.low)).min(1.0),
        })
    }

    /// McNemar's exact two-sided p-value that both rates are equal: the discordant units are as tosses of a fair coin.
    ///
    /// Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika 12 (1947)
    /// 153-157; exact form as in A. Agresti, Categorical Data Analysis, section 11.1.
    pub fn mcnemar(&self) -> f64 {
        let (fewer, all) = (self.first.min(self.second), self.first + self.second);
        // safe because one half is a probability
        let coin = Binomial::new(0.5, all).expect("a fair coin");
        (2.0 * coin.cdf(fewer)).min(1.0)
    }
}

/// Holm's step-down adjustment: p-values that may be held against one level for the whole family, in the order given.
///
/// S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979) 65-70.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[place]).min(1.0));
        adjusted[place] = least;
    }
    adjusted
}

/// The observations of one source: they are not independent of each other, so they are drawn together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cluster {
    /// Sum of the observed values.
    pub sum: f64,
    /// Observations.
    pub count: u64,
}

impl Cluster {
    /// One more observation.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }
}

fn mean<'a>(clusters: impl Iterator<Item = &'a Cluster>) -> f64 {
    let (sum, count) = clusters.fold((0.0, 0), |(sum, count), cluster| (sum + cluster.sum, count + cluster.count));
    sum / count as f64
}

/// Percentile interval of the mean over all observations, by drawing whole clusters with replacement. The same data and seed give the
/// same interval. `None` without observations.
///
/// A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 (clusters) and 5.3 (percentiles).
pub fn bootstrap_mean(clusters: &[Cluster], seed: u64) -> Option<Interval> {
    if clusters.iter().all(|cluster| cluster.count == 0) {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    percentiles((0..RESAMPLES).map(|_| mean(drawn(clusters, &mut rng))).collect())
}

/// The largest difference between the means of groups.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Gap {
    /// Place of the group with the highest mean.
    pub highest: usize,
    /// Place of the group with the lowest mean.
    pub lowest: usize,
    /// Highest less lowest mean.
    pub gap: f64,
    /// Percentile interval, by drawing clusters within each group. It cannot reach below zero, and where groups do not differ a gap of
    /// noisy rates lies above zero: the p-value tells whether there is any.
    pub interval: Interval,
    /// Share of permutations of the clusters among the groups whose gap is at least as large.
    pub p: f64,
}

/// Highest less lowest mean of `groups`; `None` unless two have observations.
///
/// Interval as [`bootstrap_mean`], stratified by group (Davison and Hinkley, section 3.2); permutation test as in section 4.3 of the
/// same, with the observed order counted among the permutations.
pub fn gap(groups: &[Vec<Cluster>], seed: u64) -> Option<Gap> {
    let seen: Vec<usize> = (0..groups.len()).filter(|&g| groups[g].iter().any(|cluster| cluster.count > 0)).collect();
    if seen.len() < 2 {
        return None;
    }
    let spread = |means: &[f64]| {
        let ends = means.iter().fold((f64::MAX, f64::MIN), |(low, high), &m| (low.min(m), high.max(m)));
        ends.1 - ends.0
    };
    let means: Vec<f64> = seen.iter().map(|&g| mean(groups[g].iter())).collect();
    let place = |better: fn(f64, f64) -> bool| {
        seen[(1..means.len()).fold(0, |best, i| if better(means[i], means[best]) { i } else { best })]
    };
    let observed = spread(&means);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut resampled = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let means: Vec<f64> = seen.iter().map(|&g| mean(drawn(&groups[g], &mut rng))).collect();
        resampled.push(spread(&means));
    }
    let mut pool: Vec<Cluster> = seen.iter().flat_map(|&g| groups[g].iter().copied()).collect();
    let mut as_large = 1_u32;
    for _ in 0..RESAMPLES {
        pool.shuffle(&mut rng);
        let mut rest = pool.as_slice();
        let means: Vec<f64> = seen
            .iter()
            .map(|&g| {
                let (own, others) = rest.split_at(groups[g].len());
                rest = others;
                mean(own.iter())
            })
            .collect();
        // sums in another order differ by rounding, and equal gaps count
        as_large += u32::from(spread(&means) >= observed - 1e-12);
    }
    Some(Gap {
        highest: place(|new, best| new > best),
        lowest: place(|new, best| new < best),
        gap: observed,
        interval: percentiles(resampled)?,
        p: f64::from(as_large) / (RESAMPLES as f64 + 1.0),
    })
}

/// As many clusters as there are, with replacement.
fn drawn<'a>(clusters: &'a [Cluster], rng: &'a mut ChaCha8Rng) -> impl Iterator<Item = &'a Cluster> {
    (0..clusters.len()).map(|_| &clusters[rng.random_range(0..clusters.len())])
}

/// The 2.5th and the 97.5th percentile, interpolated between neighbours.
fn percentiles(mut values: Vec<f64>) -> Option<Interval> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let at = |share: f64| {
        let place = share * last as f64;
        // safe to narrow: within the list
        let (below, part) = (place.floor() as usize, place.fract());
        values[below] + part * (values[(below + 1).min(last)] - values[below])
    };
    Some(Interval { low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests;
