//! Edits held-out faces of the demo by any method, and prints what the judge and the region's colour say.
//!
//! `cargo run --release -p editing --example measure -- --text green --set optimiser=ranger --set numerics.negatives=first-image`
#![expect(clippy::print_stdout, reason = "a measuring program talks on stdout")]

#[path = "../../tests/it/demo.rs"]
mod demo;
mod faces;

use clap::Parser;
use domain::Digest;
use domain::edit::Method;
use editing::per_image::{self, Item};
use editing::rng::RngKey;
use editing::train::{Slice, SourceSet, TrainState, run_slice};
use editing::{EditText, Engine, Unhindered, raster};
use faces::{Faces, Report, Target};
use serde_json::{Map, Value, json};
use std::time::Instant;
use tch::Tensor;

#[derive(Parser)]
struct Options {
    /// The method: cf-mapper, styleclip-mapper, clip-nce, styleclip, directional; or truth, the drawn truth as a ceiling.
    #[arg(long, default_value = "cf-mapper")]
    kind: String,
    /// A field of the method, its place in dots and its value in JSON or as a bare word: `numerics.pixel_norm=layers`.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = assignment)]
    set: Vec<(String, Value)>,
    /// Which counterfactual.
    #[arg(long, default_value = "green")]
    text: Target,
    /// The words for it, in place of the usual ones.
    #[arg(long)]
    words: Option<String>,
    /// The neutral words.
    #[arg(long, default_value = "a face")]
    neutral: String,
    /// Held-out faces to score on.
    #[arg(long, default_value_t = 128)]
    faces: usize,
    /// Held-out faces to pass over first.
    #[arg(long, default_value_t = 0)]
    skip: usize,
    /// Images at once, for methods that optimise every image.
    #[arg(long, default_value_t = 8)]
    batch: usize,
}

fn assignment(text: &str) -> Result<(String, Value), String> {
    let (field, value) = text.split_once('=').ok_or("give FIELD=VALUE")?;
    Ok((field.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| json!(value))))
}

impl Options {
    /// The method with its fields set.
    fn method(&self) -> Method {
        let mut fields = Map::from_iter([("kind".to_owned(), json!(self.kind))]);
        for (path, value) in &self.set {
            let mut at = &mut fields;
            let mut parts: Vec<_> = path.split('.').collect();
            let last = parts.pop().expect("splitting gives at least one part");
            for part in parts {
                at = at.entry(part).or_insert_with(|| json!({})).as_object_mut().expect("a table");
            }
            at.insert(last.to_owned(), value.clone());
        }
        serde_json::from_value(Value::Object(fields)).unwrap_or_else(|e| panic!("{e}"))
    }

    fn words(&self) -> &str {
        self.words.as_deref().unwrap_or(self.text.text())
    }

    fn described(&self) -> String {
        let set = self.set.iter().map(|(field, value)| format!(" {field}={}", value.to_string().replace('"', "")));
        format!("{}{}", self.kind, set.collect::<String>())
    }
}

fn main() {
    let options = Options::parse();
    let engine = demo::engine();
    let faces = Faces::held_out(&engine, options.text, options.skip, options.faces);
    let latents = engine.encode(&faces.images).expect("the faces have the encoder's size");
    let before = raster::as_published(&engine.render(&latents).expect("latents render")).expect("finite");
    let start = Instant::now();
    let (told, after) = if options.kind == "truth" {
        (String::new(), faces.truth.shallow_clone())
    } else {
        let method = options.method();
        let text = EditText::encode(&engine, options.words(), &options.neutral, method.numerics());
        let text = text.expect("the texts can be used");
        let (told, edited) = match method.training() {
            Some(_) => mapper(&options, &engine, &text, &method, &latents),
            None => per_image(&options, &engine, &text, &method, &latents),
        };
        (told, raster::as_published(&engine.render(&edited).expect("renders")).expect("finite"))
    };
    let seconds = start.elapsed().as_secs_f64();
    let report = Report::of(&engine, &faces, options.text, &before, &after);
    let second = engine.second_similarity(&after, &engine.sentences(options.text.text(), "a face").target);
    let second = second.expect("scores").map_or(f64::NAN, |s| s.mean(None).double_value(&[]));
    println!("{:<7} {}{told} | {report} second {second:.3} {seconds:.0} s", options.text.name(), options.described());
}

fn mapper(options: &Options, engine: &Engine, text: &EditText, method: &Method, latents: &Tensor) -> (String, Tensor) {
    let course = method.training().expect("a method with a mapper");
    let set = engine.encode(&demo::pictures(engine, "train", 0..course.train_limit as usize)).expect("training faces");
    let (edit, training) = (Digest::of(options.words()), Digest::of("demo training faces"));
    let set = SourceSet::new(engine, training, &set).expect("latents of the right shape");
    let start = Instant::now();
    let mut state = TrainState::start(engine, text, method, &edit, &training).expect("starts");
    let slice = run_slice(engine, text, method, &set, &mut state, &mut Unhindered).expect("trains");
    let Slice::Done(mapper) = slice else { panic!("nothing asked it to yield") };
    let told = format!(": trained {:.0} s, {}", start.elapsed().as_secs_f64(), end_of(state.curve()));
    (told, mapper.apply(latents, 1.0).expect("applies"))
}

/// The means of the curves over their last tenth.
fn end_of(curve: &editing::train::Curve) -> String {
    let mean = |values: &[f32]| {
        let last = &values[values.len() - values.len().div_ceil(10)..];
        last.iter().sum::<f32>() / last.len() as f32
    };
    let each: Vec<_> = curve.terms().iter().map(|(term, values)| format!("{term} {:.3}", mean(values))).collect();
    each.join(" ")
}

fn per_image(
    options: &Options,
    engine: &Engine,
    text: &EditText,
    method: &Method,
    latents: &Tensor,
) -> (String, Tensor) {
    let edit = Digest::of(options.words());
    let latents: Vec<_> = latents.unbind(0);
    let keyed: Vec<_> = latents.iter().enumerate().collect();
    let start = Instant::now();
    let mut edited = Vec::new();
    for part in keyed.chunks(options.batch) {
        let items: Vec<_> = part
            .iter()
            .map(|(id, latent)| {
                let source = Digest::of(id.to_le_bytes());
                Item { id: *id, latent, key: RngKey::new("views", &source, &edit, 0), begun: None }
            })
            .collect();
        let results = per_image::edit(engine, engine, text, method, &items, None, &mut Unhindered).expect("edits");
        edited.extend(results.into_iter().map(|result| result.expect("a finite result").latent));
    }
    let told =
        format!(" batch {}: {:.2} s an image", options.batch, start.elapsed().as_secs_f64() / latents.len() as f64);
    (told, Tensor::stack(&edited, 0))
}
