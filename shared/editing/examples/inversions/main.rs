//! Inverts held-out demo faces by every method and prints how well each draws them, and what that costs.
//!
//! `cargo run --release -p editing --example inversions -- methods --faces 32`
//! `cargo run --release -p editing --example inversions -- ranks --faces 8 --ranks 1,2,4,8,16 --rates 0.001,0.003,0.01`
#![expect(clippy::print_stdout, reason = "a measuring program talks on stdout")]

#[path = "../../tests/it/demo.rs"]
mod demo;

use clap::{Parser, Subcommand};
use domain::inversion::{Inversion, LatentSpace, PivotalTuning, Projection, Refinement};
use editing::adam::Adam;
use editing::draw::Painter;
use editing::guidance::Draw;
use editing::invert::quality::{Quality, quality};
use editing::invert::{Inverted, invert};
use editing::{Engine, Unhindered, latent, raster};
use networks::stylegan2::{Delta, LowRank};
use std::time::Instant;
use tch::{Kind, Tensor};

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Faces of the demo, from the first.
    #[arg(long, global = true, default_value_t = 8)]
    faces: usize,
    /// Faces computed at once.
    #[arg(long, global = true, default_value_t = 8)]
    batch: usize,
}

#[derive(Subcommand)]
enum What {
    /// Every method with its own settings.
    Methods {
        /// Steps of the projector.
        #[arg(long, default_value_t = Projection::default().steps)]
        steps: u32,
    },
    /// Pivotal tuning at several ranks and rates, and of whole weights at the published rate.
    Ranks {
        #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16")]
        ranks: Vec<u32>,
        #[arg(long, value_delimiter = ',', default_value = "0.003")]
        rates: Vec<f64>,
        /// Steps on the weights.
        #[arg(long, default_value_t = PivotalTuning::default().steps)]
        steps: u32,
    },
}

fn main() {
    let options = Options::parse();
    let engine = demo::engine();
    let images = demo::pictures(&engine, "faces/source", 0..options.faces);
    let run = Run { engine: &engine, images: &images, batch: options.batch };
    println!("{:<28} {:>8} {:>9} {:>9} {:>10} {:>11}", "", "PSNR dB", "MSE", "s/image", "file bytes", "rounding");
    match options.what {
        What::Methods { steps } => {
            let project = |space| Inversion::Optimise(Projection { space, steps, ..Projection::default() });
            run.tell("encoder", &Inversion::Encoder {});
            run.tell("hybrid", &Inversion::Hybrid(Refinement::default()));
            run.tell("optimise, W", &project(LatentSpace::W));
            run.tell("optimise, W+", &project(LatentSpace::WPlus));
            run.tell("pivotal", &Inversion::Pivotal(PivotalTuning::default()));
        }
        What::Ranks { ranks, rates, steps } => {
            run.tell("the pivot", &Inversion::Hybrid(Refinement::default()));
            for rank in ranks {
                for &learning_rate in &rates {
                    let tuning = PivotalTuning { rank, learning_rate, steps, ..PivotalTuning::default() };
                    run.tell(&format!("rank {rank}, rate {learning_rate}"), &Inversion::Pivotal(tuning));
                }
            }
            run.whole_weights(steps, 3e-4);
        }
    }
}

struct Run<'a> {
    engine: &'a Engine,
    images: &'a Tensor,
    batch: usize,
}

impl Run<'_> {
    fn invert(&self, method: &Inversion) -> Vec<Inverted> {
        let faces: Vec<_> = (0..self.images.size()[0]).collect();
        let batches = faces.chunks(self.batch).flat_map(|faces| {
            let images = self.images.narrow(0, faces[0], faces.len() as i64);
            let ids: Vec<_> = (0..faces.len()).collect();
            invert(self.engine, method, &images, &ids, &[], &mut Unhindered).expect("the batch is computed")
        });
        batches.map(|end| end.expect("a face is inverted")).collect()
    }

    fn tell(&self, name: &str, method: &Inversion) {
        let began = Instant::now();
        let found = self.invert(method);
        let seconds = began.elapsed().as_secs_f64() / found.len() as f64;
        let painter = Painter::new(self.engine, found.iter().map(|end| Some(&end.own)).collect()).expect("it fits");
        let latents: Vec<_> = found.iter().map(|end| &end.latent).collect();
        let rows: Vec<_> = (0..found.len()).collect();
        let latents = Tensor::stack(&latents, 0);
        let drawn = tch::no_grad(|| painter.draw(&rows, &latents, None)).expect("inversions are drawn");
        let bytes = found.iter().map(|end| latent::inversion_to_bytes(&end.latent, &end.own, None));
        let bytes: Vec<_> = bytes.map(|file| file.expect("a file").len() as f64).collect();
        let rounding: Vec<_> = found.iter().filter_map(|end| Some(end.rounding?.mse)).collect();
        self.line(name, &drawn, seconds, Some(mean(&bytes)), (!rounding.is_empty()).then(|| mean(&rounding)));
    }

    fn line(&self, name: &str, drawn: &Tensor, seconds: f64, bytes: Option<f64>, rounding: Option<f64>) {
        let drawn = raster::as_published(drawn).expect("images");
        let found = quality(self.engine, self.images, &drawn).expect("sizes fit");
        let over = |figure: fn(&Quality) -> f64| mean(&found.iter().map(figure).collect::<Vec<_>>());
        let optional = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        let rounding = rounding.map_or("-".to_owned(), |mse| format!("{mse:.1e}"));
        let (psnr, mse) = (over(|q| q.psnr), over(|q| q.mse));
        let bytes = optional(bytes, 0);
        println!("{name:<28} {psnr:>8.2} {mse:>9.6} {seconds:>9.3} {bytes:>10} {rounding:>11}");
    }

    /// What low rank is compared with: every entry of every convolution free, as published, kept as a whole generator.
    fn whole_weights(&self, steps: u32, rate: f64) {
        let generator = self.engine.generator();
        let pivots = self.invert(&Inversion::Hybrid(Refinement::default()));
        let began = Instant::now();
        let mut drawn = Vec::new();
        for (face, pivot) in (0_i64..).zip(&pivots) {
            let (image, latent) = (self.images.narrow(0, face, 1), pivot.latent.unsqueeze(0));
            let options = (Kind::Float, generator.device());
            let (names, sizes): (Vec<_>, Vec<_>) = generator.convolutions().into_iter().unzip();
            let eyes: Vec<_> = sizes.iter().map(|size| Tensor::eye(size[0], options)).collect();
            let mut free: Vec<_> =
                sizes.iter().map(|size| Tensor::zeros([size[0], size[1..].iter().product()], options)).collect();
            let draw = |free: &[Tensor]| {
                let pairs = names.iter().zip(eyes.iter().zip(free));
                let changes =
                    pairs.map(|(name, (u, v))| (name.clone(), LowRank { u: u.shallow_clone(), v: v.shallow_clone() }));
                let changed = generator.with_delta(&Delta(changes.collect())).expect("it fits");
                changed.synthesize(&latent).expect("it draws")
            };
            let mut adam = Adam::new(&free).expect("memory");
            for _ in 0..steps {
                let leaves: Vec<_> = free.iter().map(|tensor| tensor.detach().set_requires_grad(true)).collect();
                let mut difference = draw(&leaves) - &image;
                let mut loss = difference.abs().mean(None) + difference.square().mean(None);
                for _ in 0..2 {
                    difference = difference.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None::<i64>);
                    loss += difference.abs().mean(None) * 0.5;
                }
                let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
                free = adam.step(&free, &gradients, rate).expect("a step");
            }
            drawn.push(tch::no_grad(|| draw(&free)));
        }
        let bytes: i64 = generator.convolutions().iter().map(|(_, size)| 2 * size.iter().product::<i64>()).sum();
        let seconds = began.elapsed().as_secs_f64() / pivots.len() as f64;
        self.line(&format!("whole weights, rate {rate}"), &Tensor::cat(&drawn, 0), seconds, Some(bytes as f64), None);
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
