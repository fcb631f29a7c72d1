//! What one gradient through a StyleGAN2 generator costs: peak memory and seconds of forward and backward, batch 1,
//! random weights of configuration F. `cargo run --release -p networks --example generator_cost -- 1024`; the threads are those
//! of `OMP_NUM_THREADS`. Behind the resolution, `direct` computes wide convolutions product by product, and `fresh` gives what is
//! freed back to the system at once, as glibc does by itself. Memory is read from `/proc`, so on Linux only.

use std::error::Error;
use std::time::Instant;

use networks::Weights;
use networks::device::{self, Convolutions};
use networks::stylegan2::Generator;
use tch::{Device, Kind, Tensor};

const W_DIM: i64 = 512;

/// Channels of configuration F: 512 up to 64 px, then half at every doubling.
fn channels(resolution: i64) -> i64 {
    (32_768 / resolution).min(512)
}

/// Random tensors of a generator, by their names.
fn tensors(resolution: i64) -> Vec<(String, Tensor)> {
    let mut all = Vec::new();
    let mut put = |name: String, shape: &[i64]| all.push((name, Tensor::randn(shape, (Kind::Float, Device::Cpu))));
    for layer in 1..=8 {
        put(format!("style.{layer}.weight"), &[W_DIM, W_DIM]);
        put(format!("style.{layer}.bias"), &[W_DIM]);
    }
    put("input.input".to_owned(), &[1, channels(4), 4, 4]);
    let mut layer = |name: &str, noise: Option<usize>, inputs: i64, outputs: i64, side: i64| {
        let kernel = if noise.is_some() { 3 } else { 1 };
        put(format!("{name}.conv.weight"), &[1, outputs, inputs, kernel, kernel]);
        put(format!("{name}.conv.modulation.weight"), &[inputs, W_DIM]);
        put(format!("{name}.conv.modulation.bias"), &[inputs]);
        match noise {
            Some(noise) => {
                put(format!("{name}.noise.weight"), &[1]);
                put(format!("{name}.activate.bias"), &[outputs]);
                put(format!("noises.noise_{noise}"), &[1, 1, side, side]);
            }
            None => put(format!("{name}.bias"), &[1, outputs, 1, 1]),
        }
    };
    layer("conv1", Some(0), channels(4), channels(4), 4);
    layer("to_rgb1", None, channels(4), 3, 4);
    let (mut side, mut level) = (8, 0);
    while side <= resolution {
        let outputs = channels(side);
        layer(&format!("convs.{}", 2 * level), Some(2 * level + 1), channels(side / 2), outputs, side);
        layer(&format!("convs.{}", 2 * level + 1), Some(2 * level + 2), outputs, outputs, side);
        layer(&format!("to_rgbs.{level}"), None, outputs, 3, side);
        (side, level) = (2 * side, level + 1);
    }
    all
}

/// The most memory this process has held so far, GiB.
fn peak_memory() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0 / 1024.0)
}

#[expect(clippy::print_stdout, reason = "the figures are what it is run for")]
fn main() -> Result<(), Box<dyn Error>> {
    let asked = |word: &str| std::env::args().skip(2).any(|argument| argument == word);
    if !asked("fresh") {
        networks::device::memory::keep_freed();
    }
    let convolutions = if asked("direct") { Convolutions::Direct } else { Convolutions::Winograd };
    let threads = usize::try_from(tch::get_num_threads())?;
    device::open(&device::Settings { threads, convolutions, ..device::Settings::default() })?;
    let resolution = std::env::args().nth(1).map_or(Ok(1024), |text| text.parse::<i64>())?;
    let weights = Weights::from_tensors("random weights", tensors(resolution), Device::Cpu, Kind::Float)?;
    let (generator, report) = Generator::load(weights)?;
    let million = report.parameters as f64 / 1e6;
    println!("{} px, {million:.1} M parameters, loaded: {:.2} GiB", generator.resolution(), peak_memory()?);
    for run in 1..=5 {
        let shape = [1, generator.n_latent(), W_DIM];
        let w_plus = Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let start = Instant::now();
        let image = generator.synthesize(&w_plus)?;
        let forward = start.elapsed().as_secs_f64();
        let loss = image.square().mean(Kind::Float);
        drop(image);
        Tensor::run_backward(&[loss], &[&w_plus], false, false);
        let all = start.elapsed().as_secs_f64();
        println!("{run}: forward {forward:.2} s, with backward {all:.2} s, peak memory {:.2} GiB", peak_memory()?);
    }
    Ok(())
}
