//! Trains the demo's mappers, edits held-out faces, and prints what the judge and the region's colour say.
//!
//! `cargo run -p editing --example measure -- mapper --text green --latent-l2 0.15`
#![expect(clippy::print_stdout, reason = "a measuring program talks on stdout")]

#[path = "../../tests/it/demo.rs"]
mod demo;
mod faces;

use clap::{Parser, Subcommand};
use domain::Digest;
use domain::edit::{CfMapper, ClipNce, NceLoss, Outside, Query};
use editing::clip_nce::{self, Item};
use editing::rng::RngKey;
use editing::train::{Slice, TrainState, run_slice};
use editing::{EditText, Engine, Unhindered, raster, score};
use faces::{Faces, Report, Target};
use std::time::Instant;
use tch::Tensor;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Which counterfactual: green, purple, blue.
    #[arg(long, global = true, default_value = "green")]
    text: Target,
    /// Held-out faces to score on.
    #[arg(long, global = true, default_value_t = 128)]
    faces: usize,
    /// Held-out faces to pass over first.
    #[arg(long, global = true, default_value_t = 0)]
    skip: usize,
    /// The published query instead of the floored one.
    #[arg(long, global = true)]
    normalised: bool,
    /// The published mid-grey beyond a view's edge.
    #[arg(long, global = true)]
    grey: bool,
    #[arg(long, global = true)]
    floor: Option<f64>,
    #[arg(long, global = true)]
    latent_l2: Option<f64>,
    #[arg(long, global = true)]
    distortion: Option<f64>,
    #[arg(long, global = true)]
    steps: Option<u32>,
    #[arg(long, global = true)]
    views: Option<u32>,
    #[arg(long, global = true, default_value_t = 0)]
    seed: u64,
}

#[derive(Subcommand)]
enum What {
    /// Train a mapper and apply it.
    Mapper {
        /// Training faces.
        #[arg(long, default_value_t = 512)]
        train: usize,
    },
    /// Optimise per image.
    ClipNce {
        /// Images at once.
        #[arg(long, default_value_t = 8)]
        batch: usize,
    },
    /// Score the drawn truth: the ceiling.
    Truth,
}

impl Options {
    fn loss(&self) -> NceLoss {
        let mut loss = NceLoss::default();
        if self.normalised {
            loss.query = Query::Normalised {};
        }
        if let Some(floor) = self.floor {
            loss.query = Query::Floored { floor };
        }
        if self.grey {
            loss.outside = Outside::Grey;
        }
        loss.views = self.views.unwrap_or(loss.views);
        loss.distortion = self.distortion.unwrap_or(loss.distortion);
        loss
    }
}

fn main() {
    let options = Options::parse();
    let engine = demo::engine();
    let text = EditText::encode(&engine, options.text.text(), "a face").expect("the text fits");
    let faces = Faces::held_out(&engine, options.text, options.skip, options.faces);
    let latents = engine.encode(&faces.images).expect("the faces have the encoder's size");
    let before = raster::as_published(&engine.render(&latents).expect("latents render")).expect("finite");
    let start = Instant::now();
    let (name, after) = match &options.what {
        What::Mapper { train } => mapper(&options, &engine, &text, *train, &latents),
        What::ClipNce { batch } => per_image(&options, &engine, &text, *batch, &latents),
        What::Truth => ("truth".to_owned(), faces.truth.shallow_clone()),
    };
    let seconds = start.elapsed().as_secs_f64();
    let report = Report::of(&engine, &faces, options.text, &before, &after);
    let second = engine.second_similarity(&after, &engine.sentences(options.text.text(), "a face").target);
    let second = second.expect("scores").map_or(f64::NAN, |s| s.mean(None).double_value(&[]));
    let reconstruction = mean(&score::psnr(&faces.images, &before).expect("scores"));
    println!(
        "{:<7} {name} | {report} second {second:.3} rec {reconstruction:.2} dB {seconds:.0} s",
        options.text.name()
    );
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn mapper(options: &Options, engine: &Engine, text: &EditText, train: usize, latents: &Tensor) -> (String, Tensor) {
    let mut method = CfMapper { loss: options.loss(), seed: options.seed, ..CfMapper::default() };
    method.latent_l2 = options.latent_l2.unwrap_or(method.latent_l2);
    method.steps = options.steps.unwrap_or(method.steps);
    let set = engine.encode(&demo::pictures(engine, "train", 0..train)).expect("training faces");
    let (edit, training) = (Digest::of(options.text.text()), Digest::of("demo training faces"));
    let start = Instant::now();
    let mut state = TrainState::start(engine, text, &method, &edit, &training).expect("starts");
    let slice = run_slice(engine, text, &method, &set, &mut state, &mut Unhindered).expect("trains");
    let Slice::Done(mapper) = slice else { panic!("nothing asked it to yield") };
    let seconds = start.elapsed().as_secs_f64();
    let edited = engine.render(&mapper.apply(latents, 1.0).expect("applies")).expect("renders");
    let name = format!(
        "mapper {:?} l2 {} ds {} views {} {:?} steps {} seed {}: trained {seconds:.0} s, loss {:.3}",
        method.loss.query,
        method.latent_l2,
        method.loss.distortion,
        method.loss.views,
        method.loss.outside,
        method.steps,
        method.seed,
        state.losses().last().copied().unwrap_or(f32::NAN)
    );
    (name, raster::as_published(&edited).expect("finite"))
}

fn per_image(options: &Options, engine: &Engine, text: &EditText, batch: usize, latents: &Tensor) -> (String, Tensor) {
    let mut method = ClipNce { loss: options.loss(), ..ClipNce::default() };
    method.latent_l2 = options.latent_l2.unwrap_or(method.latent_l2);
    method.steps = options.steps.unwrap_or(method.steps);
    let edit = Digest::of(options.text.text());
    let latents: Vec<_> = latents.unbind(0);
    let keyed: Vec<_> = latents.iter().enumerate().collect();
    let start = Instant::now();
    let mut edited = Vec::new();
    for part in keyed.chunks(batch) {
        let items: Vec<_> = part
            .iter()
            .map(|(id, latent)| {
                let source = Digest::of(id.to_le_bytes());
                Item { id: *id, latent, key: RngKey::new("views", &source, &edit, options.seed) }
            })
            .collect();
        let results = clip_nce::edit(engine, text, &method, &items, &mut Unhindered).expect("edits");
        edited.extend(results.into_iter().map(|result| result.expect("a finite result").latent));
    }
    let each = start.elapsed().as_secs_f64() / latents.len() as f64;
    let images = engine.render(&Tensor::stack(&edited, 0)).expect("renders");
    let name = format!(
        "clip-nce {:?} l2 {} ds {} views {} {:?} steps {} batch {batch}: {each:.2} s an image",
        method.loss.query,
        method.latent_l2,
        method.loss.distortion,
        method.loss.views,
        method.loss.outside,
        method.steps
    );
    (name, raster::as_published(&images).expect("finite"))
}
