//! Networks of published sizes with random weights, and what a pass through them costs at least.
//!
//! Each architecture is written down once, layer by layer: a line names a layer's tensors and counts its arithmetic, so that
//! the two cannot drift apart. Weights are scaled to keep about unit variance from layer to layer: the numbers mean nothing, and none
//! overflows. They are drawn when they are loaded, one tensor at a time; no file is written.

pub mod clip;
pub mod encoder;
pub mod generator;

use anyhow::{Context as _, Result};
use networks::Weights;
use serde::Serialize;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Bytes of one number.
pub const FLOAT: u64 = 4;
/// Width of W, and of every published generator's bottom layers.
pub const WIDTH: i64 = 512;

/// What a tensor begins with.
#[derive(Clone, Copy, Debug)]
enum Fill {
    /// Gaussian of this standard deviation.
    Normal(f64),
    /// Everywhere the same.
    Constant(f64),
}

/// What one image costs in one pass forward, whatever computes it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Cost {
    /// Multiply-adds with weights. A gradient to a frozen layer's input takes as many again.
    pub weighted: u64,
    /// Multiply-adds of one activation with another, in attention. Their gradients take twice as many.
    pub paired: u64,
    /// Numbers in the weights that the pass reads.
    pub weights: u64,
    /// Numbers that the layers write.
    pub activations: u64,
}

/// A network as it is being written down.
#[derive(Debug, Default)]
pub struct Network {
    tensors: Vec<(String, Vec<i64>, Fill)>,
    /// What its layers cost.
    pub cost: Cost,
}

/// A convolution's sizes.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// Channels it reads.
    pub inputs: i64,
    /// Channels it writes.
    pub outputs: i64,
    /// Height and width of its filters.
    pub kernel: i64,
    /// Height and width of the grid at which the filters are applied, px: what it writes, or reads if it is transposed.
    pub grid: i64,
}

impl Convolution {
    /// Multiply-adds of one image.
    pub fn products(self) -> u64 {
        count(&[self.inputs, self.outputs, self.kernel, self.kernel, self.grid, self.grid])
    }
}

/// The numbers in a tensor of this shape.
pub fn count(shape: &[i64]) -> u64 {
    shape.iter().map(|side| side.unsigned_abs()).product()
}

impl Network {
    fn normal(&mut self, name: String, shape: &[i64], deviation: f64) {
        self.tensors.push((name, shape.to_vec(), Fill::Normal(deviation)));
    }

    fn constant(&mut self, name: String, shape: &[i64], value: f64) {
        self.tensors.push((name, shape.to_vec(), Fill::Constant(value)));
    }

    /// Counts a layer of `weights` numbers with `products` multiply-adds that writes `outputs` numbers.
    fn layer(&mut self, weights: u64, products: u64, outputs: u64) {
        self.cost.weights += weights;
        self.cost.weighted += products;
        self.cost.activations += outputs;
    }

    /// `name.weight` and, where it has one, `name.bias`, of a convolution that keeps the variance of what passes.
    fn convolution(&mut self, name: &str, size: Convolution, bias: bool) {
        let Convolution { inputs, outputs, kernel, grid } = size;
        let shape = [outputs, inputs, kernel, kernel];
        self.normal(format!("{name}.weight"), &shape, ((inputs * kernel * kernel) as f64).sqrt().recip());
        if bias {
            self.constant(format!("{name}.bias"), &[outputs], 0.0);
        }
        self.layer(count(&shape), size.products(), count(&[outputs, grid, grid]));
    }

    /// `name.weight` and `name.bias` of a normalisation; with running statistics, if it is over the batch.
    fn norm(&mut self, name: &str, channels: i64, gain: f64, running: bool) {
        self.constant(format!("{name}.weight"), &[channels], gain);
        self.constant(format!("{name}.bias"), &[channels], 0.0);
        if running {
            self.constant(format!("{name}.running_mean"), &[channels], 0.0);
            self.constant(format!("{name}.running_var"), &[channels], 1.0);
        }
    }

    /// Numbers in all its tensors whose name does not begin with `beside`.
    #[cfg(test)]
    fn parameters(&self, beside: &str) -> u64 {
        self.tensors.iter().filter(|(name, ..)| !name.starts_with(beside)).map(|(_, shape, _)| count(shape)).sum()
    }

    /// The tensors on `device`, in `kind`. The same seed draws the same numbers.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn weights(&self, name: &str, seed: i64, device: Device, kind: Kind) -> Result<Weights> {
        Ok(Weights::from_tensors(name, self.drawn(seed), device, kind)?)
    }

    /// The same tensors as a file, safetensors.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, seed: i64, file: &Path) -> Result<()> {
        let drawn: Vec<_> = self.drawn(seed).collect();
        Tensor::write_safetensors(&drawn, file).with_context(|| format!("cannot write {}", file.display()))
    }

    fn drawn(&self, seed: i64) -> impl Iterator<Item = (String, Tensor)> {
        tch::manual_seed(seed);
        self.tensors.iter().map(|(name, shape, fill)| {
            let on_cpu = (Kind::Float, Device::Cpu);
            let tensor = match *fill {
                Fill::Normal(deviation) => Tensor::randn(shape.as_slice(), on_cpu) * deviation,
                Fill::Constant(value) => Tensor::full(shape.as_slice(), value, on_cpu),
            };
            (name.clone(), tensor)
        })
    }
}
