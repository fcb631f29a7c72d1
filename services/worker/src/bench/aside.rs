//! StyleCLIP's per-image optimisation, written down so that another program can run the very same.
//!
//! The loop that users would pick (optimization/run_optimization.py): draw the image, look at it with CLIP at 224 px, compare with
//! one text, go back to the latent, take a step of Adam. Here it is the method `styleclip` without views, on random networks:
//!
//! ```text
//! generator.safetensors, clip.safetensors   the networks, in their published names
//! start.safetensors                         latents [N, L, 512] and tokens [1, 77] of the text
//! loop.json                                 sizes, weights of the loss, rate of each step; losses and seconds of each run
//! ```
//!
//! The training of a mapper is written down in the same way: [`training`].

pub mod training;

use super::random::clip::ClipModel;
use super::random::generator;
use super::stages::{CLIP_SEED, GENERATOR_SEED, Rig, tokenizer};
use anyhow::{Context as _, Result, bail};
use domain::edit::{ClipInput, Method, Numerics, Styleclip, TemplateSet, Views};
use domain::{Digest, Precision};
use editing::control::Directive;
use editing::rng::RngKey;
use editing::{EditText, per_image};
use serde::Serialize;
use std::path::Path;
use std::time::Instant;
use tch::{Device, Tensor};

/// Images that are edited: one by one, and all at once.
const IMAGES: usize = 4;
const TARGET: &str = "a face with green hair";
const NEUTRAL: &str = "a face";

/// What `loop.json` holds.
#[derive(Serialize)]
struct Loop {
    resolution: i64,
    clip: ClipModel,
    guide_weight: f64,
    latent_l2: f64,
    rates: Vec<f64>,
    runs: Vec<Run>,
}

/// The optimisation of all images.
#[derive(Serialize)]
struct Run {
    threads: usize,
    /// Images in a pass.
    batch: usize,
    /// Of all steps of all images, one pass after the other.
    seconds: f64,
    /// Of each image, before each step.
    losses: Vec<Vec<f64>>,
}

/// The random networks that are run and written.
#[derive(Clone, Copy)]
pub struct NetworksOf {
    /// The generator's height and width, px.
    pub side: i64,
    /// The CLIP.
    pub clip: ClipModel,
}

impl NetworksOf {
    /// Writes generator and CLIP, as [`Rig::new`] draws them.
    fn save(self, folder: &Path) -> Result<()> {
        generator::generator(self.side).save(GENERATOR_SEED, &folder.join("generator.safetensors"))?;
        self.clip.network().save(CLIP_SEED, &folder.join("clip.safetensors"))
    }
}

/// Runs the loop with each number of threads, one by one and all at once, and writes everything into `folder`.
///
/// # Errors
/// When memory runs out or the folder cannot be written.
pub fn run(folder: &Path, networks: NetworksOf, steps: u32, threads: &[usize], device: Device) -> Result<()> {
    let NetworksOf { side, clip } = networks;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let rig = Rig::new(side, clip, device, Precision::Fp32)?;
    let numerics = Numerics { templates: TemplateSet::Prompt, clip_input: ClipInput::AreaRaw, ..Numerics::default() };
    let views = Views { views: 0, ..Views::default() };
    let method = Method::Styleclip(Styleclip { steps, numerics, views, ..Styleclip::default() });
    let text = EditText::encode(rig.engine(), TARGET, NEUTRAL, &numerics)?;
    let latents = rig.latents(IMAGES)?;
    let course = method.descent().context("styleclip is a descent")?;
    let mut written = Loop {
        resolution: side,
        clip,
        guide_weight: method.guide_weight(),
        latent_l2: method.latent_l2(),
        rates: (0..steps).map(|step| per_image::rate(&course, step)).collect(),
        runs: Vec::new(),
    };
    for &threads in threads {
        super::set_threads(threads);
        for batch in [1, IMAGES] {
            // Once for caches and kernels, once for the clock.
            pass(&rig, &method, &text, &latents.f_narrow(0, 0, batch as i64)?)?;
            let (mut seconds, mut losses) = (0.0, Vec::new());
            for part in latents.f_split(batch as i64, 0)? {
                let (taken, mut found) = pass(&rig, &method, &text, &part)?;
                seconds += taken;
                losses.append(&mut found);
            }
            written.runs.push(Run { threads, batch, seconds, losses });
        }
    }
    networks.save(folder)?;
    let tokens = tokenizer()?.encode_batch(&[TARGET])?;
    let latents = latents.f_to_device(Device::Cpu)?;
    Tensor::write_safetensors(&[("latents", &latents), ("tokens", &tokens)], folder.join("start.safetensors"))?;
    std::fs::write(folder.join("loop.json"), serde_json::to_vec_pretty(&written)?)?;
    Ok(())
}

/// Seconds from the first step to the end, and the losses of each image.
fn pass(rig: &Rig, method: &Method, text: &EditText, latents: &Tensor) -> Result<(f64, Vec<Vec<f64>>)> {
    let rows = latents.f_unbind(0)?;
    let key = RngKey::new("bench", &Digest::of(b""), &Digest::of(b""), 0);
    let items: Vec<_> =
        rows.iter().enumerate().map(|(id, latent)| per_image::Item { id, latent, key, begun: None }).collect();
    let mut began = None;
    let mut control = |_: u32, _: u32| {
        began.get_or_insert_with(Instant::now);
        Directive::Continue
    };
    let engine = rig.engine();
    let ends = per_image::edit(engine, engine, text, method, &items, None, &mut control)?;
    // Each loss was brought to the host, so a GPU has done all but the last step of Adam.
    let seconds = began.map_or(0.0, |began| began.elapsed().as_secs_f64());
    let mut losses = Vec::with_capacity(ends.len());
    for end in ends {
        match end {
            Ok(descended) => losses.push(descended.loss),
            Err(stop) => bail!("an image left the batch: {stop}"),
        }
    }
    Ok((seconds, losses))
}
