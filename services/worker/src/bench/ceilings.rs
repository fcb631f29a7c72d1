//! What the machine can do at most, measured in the same process, with the same threads and the same kind of numbers as the stages.

use super::clock::{Course, repeat};
use anyhow::Result;
use domain::Precision;
use editing::kind_of;
use serde::Serialize;
use tch::{Device, Kind, Tensor};

/// Rows and columns of the matrices that are multiplied: large enough that a core's arithmetic is the limit, not its memory.
const SIDE_ON_CPU: i64 = 1536;
const SIDE_ON_GPU: i64 = 8192;
/// Numbers that are copied: 128 MiB, more than any cache holds.
const COPIED: i64 = 1 << 25;

/// The best of some tries: whatever else runs on the machine only makes it slower.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ceilings {
    /// CPU threads of one operation.
    pub threads: usize,
    /// What is multiplied.
    pub precision: Precision,
    /// Of a product of two matrices in this precision, in thousand millions a second; a multiply-add is two.
    pub matmul_gflops: f64,
    /// Read and written by a copy within memory, thousand million bytes a second.
    pub copy_gigabytes: f64,
}

impl Ceilings {
    /// Measures them; the threads are those that libtorch is set to.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn measure(threads: usize, device: Device, precision: Precision) -> Result<Self> {
        let side = if device == Device::Cpu { SIDE_ON_CPU } else { SIDE_ON_GPU };
        let course = Course { warm_up: 2, repeats: 8 };
        let square = || Tensor::f_randn([side, side], (kind_of(precision), device));
        let (a, b, mut product) = (square()?, square()?, square()?);
        let multiplied = repeat(course, device, || {
            product = a.f_matmul(&b)?;
            Ok(())
        })?;
        let from = Tensor::f_ones([COPIED], (Kind::Float, device))?;
        let mut to = from.f_zeros_like()?;
        let copied = repeat(course, device, || {
            to.f_copy_(&from)?;
            Ok(())
        })?;
        let best = |seconds: &[f64]| seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let gflops = 2.0 * (side as f64).powi(3) / best(&multiplied) / 1e9;
        let copy_gigabytes = 8.0 * COPIED as f64 / best(&copied) / 1e9;
        Ok(Self { threads, precision, matmul_gflops: gflops, copy_gigabytes })
    }
}
