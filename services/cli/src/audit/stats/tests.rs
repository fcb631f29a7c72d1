//! Figures of others. Those of statsmodels 0.15.0 and SciPy 1.17.1 are printed by the Python above each test.

use super::*;

#[track_caller]
fn close(found: f64, wanted: f64, within: f64) {
    assert!((found - wanted).abs() <= within, "{found} is not {wanted}");
}

/// `statsmodels.stats.proportion.proportion_confint(k, n, method="wilson")`
#[test]
fn wilson_as_statsmodels() {
    for (k, n, low, high) in [
        (0, 10, 0.0, 0.277_532_799_862_889_26),
        (10, 10, 0.722_467_200_137_110_6, 1.0),
        (7, 20, 0.181_191_824_101_082_03, 0.567_145_723_314_763_8),
        (50, 400, 0.096_115_123_236_763_8, 0.161_019_097_513_958_6),
        (1, 3, 0.061_491_944_720_396_26, 0.792_340_399_197_952_3),
    ] {
        let found = wilson(k, n).unwrap();
        close(found.low, low, 1e-12);
        close(found.high, high, 1e-12);
    }
    assert_eq!(wilson(0, 0), None);
}

/// `statsmodels.stats.contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue`
#[test]
fn mcnemar_as_statsmodels() {
    for (first, second, p) in [
        (0, 0, 1.0),
        (5, 0, 0.0625),
        (12, 2, 0.012_939_453_125),
        (30, 30, 1.0),
        (1, 9, 0.021_484_375),
        (300, 240, 0.011_050_481_081_929_898),
    ] {
        close(PairedTable { both: 3, first, second, neither: 8 }.mcnemar(), p, 1e-12);
    }
}

/// `statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005, 0.8, 0.04], method="holm")[1]`
#[test]
fn holm_as_statsmodels() {
    let found = holm(&[0.01, 0.04, 0.03, 0.005, 0.8, 0.04]);
    for (found, wanted) in found.into_iter().zip([0.05, 0.12, 0.12, 0.03, 0.8, 0.12]) {
        close(found, wanted, 1e-12);
    }
    assert!(holm(&[]).is_empty());
}

/// Method 10 as published: the first two tables are examples of Newcombe (1998); the third is that of M. W. Fagerland, S. Lydersen and
/// P. Laake, Statistics in Medicine 33 (2014) 2850-2875 (airway hyper-responsiveness); the fourth of D. G. Altman et al., Statistics with
/// Confidence (2000), table 6.2.
#[test]
fn newcombe_as_published() {
    for ([both, first, second, neither], low, high, within) in [
        ([36, 12, 2, 0], 0.0569, 0.3404, 6e-5),
        ([20, 12, 2, 16], 0.0562, 0.3292, 6e-5),
        ([1, 1, 7, 12], -0.507, -0.026, 6e-4),
        ([14, 5, 0, 22], 0.011, 0.226, 6e-4),
    ] {
        let found = PairedTable { both, first, second, neither }.newcombe().unwrap();
        close(found.low, low, within);
        close(found.high, high, within);
    }
    assert_eq!(PairedTable::default().newcombe(), None);
    // where every unit changed there is still doubt, which a bootstrap would not see
    let all = PairedTable { first: 30, ..PairedTable::default() }.newcombe().unwrap();
    assert!(all.low < 0.9 && all.high == 1.0, "{all:?}");
}

/// Sources with three observations each.
fn clusters() -> Vec<Cluster> {
    (0..40).map(|i| Cluster { sum: f64::from(i * 7 % 4), count: 3 }).collect()
}

/// `scipy.stats.bootstrap(([i * 7 % 4 / 3 for i in range(40)],), numpy.mean, n_resamples=200000, method="percentile", rng=1)`
#[test]
fn the_bootstrap_as_scipy() {
    // 2,000 resamples know a percentile to 0.0035, and the mean of these goes in steps of 1/120
    let found = bootstrap_mean(&clusters(), 1).unwrap();
    close(found.low, 0.383_333, 0.01);
    close(found.high, 0.616_667, 0.01);
    assert_eq!(bootstrap_mean(&clusters(), 1).unwrap(), found, "the same seed, the same interval");
    assert_ne!(bootstrap_mean(&clusters(), 2).unwrap(), found);
    assert_eq!(bootstrap_mean(&[], 1), None);
}

/// A third of the observations and three times the sources are another interval: what repeats is not counted as new.
#[test]
fn repeated_observations_of_a_source_do_not_narrow_the_interval() {
    let once: Vec<_> = (0..40).map(|i| Cluster { sum: f64::from(i % 2), count: 1 }).collect();
    let often: Vec<_> = once.iter().map(|c| Cluster { sum: 9.0 * c.sum, count: 9 }).collect();
    assert_eq!(bootstrap_mean(&once, 3), bootstrap_mean(&often, 3));
}

#[test]
fn a_gap_is_told_apart_from_noise() {
    let rate = |k: usize, n: usize| (0..n).map(|i| Cluster { sum: f64::from(u8::from(i < k)), count: 1 }).collect();
    let real = gap(&[rate(5, 50), Vec::new(), rate(40, 50), rate(20, 50)], 1).unwrap();
    assert_eq!((real.highest, real.lowest), (2, 0));
    close(real.gap, 0.7, 1e-12);
    assert!(real.interval.low > 0.5 && real.interval.high < 0.9 && real.p < 0.001, "{real:?}");
    let noise = gap(&[rate(11, 40), rate(12, 40)], 1).unwrap();
    assert!(noise.p > 0.5, "{noise:?}");
    assert_eq!(gap(&[rate(1, 2), Vec::new()], 1), None);
}

/// `scipy.stats.permutation_test((a, b), lambda x, y: abs(x.mean() - y.mean()), n_resamples=100000, alternative="greater", rng=1).pvalue`
/// with 20 of 50 and 30 of 50 ones.
#[test]
fn the_permutation_test_as_scipy() {
    let rate = |k: usize, n: usize| (0..n).map(|i| Cluster { sum: f64::from(u8::from(i < k)), count: 1 }).collect();
    close(gap(&[rate(20, 50), rate(30, 50)], 1).unwrap().p, 0.073_139, 0.02);
}
