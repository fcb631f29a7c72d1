//! Times of passes and steps, each repeated.

use anyhow::Result;
use serde::Serialize;
use std::time::Instant;
use tch::{Cuda, Device};

/// How often something is done.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Times that are not counted: caches fill, libtorch chooses its kernels.
    pub warm_up: usize,
    /// Times that are.
    pub repeats: usize,
}

/// Milliseconds of one pass or step.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Milliseconds {
    /// The middle one, or the mean of the two middle ones.
    pub median: f64,
    /// The shortest.
    pub least: f64,
    /// The longest.
    pub most: f64,
}

impl Milliseconds {
    /// Of at least one time, in seconds.
    pub fn of(seconds: &[f64]) -> Self {
        let mut sorted: Vec<f64> = seconds.iter().map(|seconds| seconds * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
        let count = sorted.len();
        let median = f64::midpoint(at(count.saturating_sub(1) / 2), at(count / 2));
        Self { median, least: at(0), most: at(count.saturating_sub(1)) }
    }
}

/// Waits until the device has done what it was given: a GPU is only told what to do.
pub fn settle(device: Device) {
    if let Device::Cuda(index) = device {
        // Safe to narrow: the number of a GPU.
        Cuda::synchronize(index as i64);
    }
}

/// Seconds of each counted pass.
///
/// # Errors
/// As `pass`.
pub fn repeat<T>(course: Course, device: Device, mut pass: impl FnMut() -> Result<T>) -> Result<Vec<f64>> {
    let mut seconds = Vec::with_capacity(course.repeats);
    for time in 0..course.warm_up + course.repeats {
        settle(device);
        let began = Instant::now();
        drop(pass()?);
        settle(device);
        if time >= course.warm_up {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_the_ends() {
        let odd = Milliseconds::of(&[0.003, 0.001, 0.002]);
        assert_eq!([odd.median, odd.least, odd.most], [2.0, 1.0, 3.0]);
        assert_eq!(Milliseconds::of(&[0.001, 0.002, 0.003, 0.010]).median, 2.5);
    }

    #[test]
    fn what_warms_up_is_not_counted() {
        let mut passes = 0;
        let seconds = repeat(Course { warm_up: 2, repeats: 3 }, Device::Cpu, || {
            passes += 1;
            Ok(())
        });
        assert_eq!((seconds.unwrap().len(), passes), (3, 5));
    }
}
