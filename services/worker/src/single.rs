//! `worker edit`: one edit with no services at all, through the same stages as a batch.

use crate::config::device_settings;
use crate::drain::Drain;
use crate::engine::LocalPack;
use crate::held::HeldTask;
use crate::stages::edit::{self, Edited, Input, Plan};
use crate::stages::encode::{encode_png, with_record};
use crate::stages::ended::Ended;
use crate::stages::fetch::facts;
use crate::stages::invert::{self, LatentNote, Source, read_note};
use crate::stages::prepare::{Limits, Prepared, prepare};
use crate::stages::record::{self, Context};
use crate::stages::train;
use crate::stages::train::{Trained, Training, encode_part, join_parts};
use crate::watch::Watch;
use anyhow::{Context as _, Result, bail};
use chrono::Utc;
use clap::ValueEnum;
use domain::Digest;
use domain::edit::{CfMapper, ClipNce, EditSpec, Method};
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::inversion::{Inversion, Refinement};
use domain::record::{Links, Record, TextFacts, Verdict};
use editing::Engine;
use editing::batch::MemoryModel;
use networks::device;
use packs::Pack;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::broker::v1::Fence;

/// What to edit, and how.
#[derive(clap::Args, Debug)]
pub struct EditArgs {
    /// Folder of the pack.
    #[arg(long, value_name = "DIR")]
    pack: PathBuf,
    /// The image to edit.
    #[arg(long, value_name = "IN")]
    image: PathBuf,
    /// What the edited image should show, for example "a face with green hair".
    #[arg(long)]
    text: String,
    /// What the image shows without the edit. [default: the pack's own neutral text]
    #[arg(long)]
    neutral: Option<String>,
    /// How the edit is made. [default: cf-mapper if a mapper or training images are given, else clip-nce]
    #[arg(long)]
    method: Option<MethodName>,
    /// A trained mapper for this text.
    #[arg(long, value_name = "FILE", conflicts_with = "train_on")]
    mapper: Option<PathBuf>,
    /// A folder of images to train a mapper on first.
    #[arg(long, value_name = "DIR")]
    train_on: Option<PathBuf>,
    /// Where to keep the mapper that was trained.
    #[arg(long, value_name = "FILE", requires = "train_on")]
    save_mapper: Option<PathBuf>,
    /// Optimiser steps, of the edit or of the mapper's training. [default: the method's]
    #[arg(long)]
    steps: Option<u32>,
    /// Weight of the latent's change. [default: the method's]
    #[arg(long)]
    latent_l2: Option<f64>,
    /// Factor on the latent's change.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    strength: f64,
    /// Seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Gradient steps that refine the encoder's inversion.
    #[arg(long, default_value_t = 0)]
    refine: u32,
    /// The edited image, a PNG with its record inside.
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Also write the reconstruction: the image as the generator draws it, unedited.
    #[arg(long, value_name = "FILE")]
    reconstruction: Option<PathBuf>,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, env = "CFX_DEVICE")]
    device: Option<String>,
    /// CPU threads of one operation. [default: 1]
    #[arg(long, env = "CFX_THREADS")]
    threads: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum MethodName {
    CfMapper,
    ClipNce,
}

impl EditArgs {
    fn spec(&self, neutral: &str) -> Result<EditSpec> {
        let trained = self.mapper.is_some() || self.train_on.is_some();
        let method = match (self.method, trained) {
            (Some(MethodName::ClipNce), true) => bail!("clip-nce uses no mapper; leave out --mapper and --train-on"),
            (Some(MethodName::CfMapper), false) => bail!("cf-mapper needs --mapper FILE or --train-on DIR"),
            (_, true) => {
                let d = CfMapper::default();
                let (steps, latent_l2) = (self.steps.unwrap_or(d.steps), self.latent_l2.unwrap_or(d.latent_l2));
                Method::CfMapper(CfMapper { steps, latent_l2, ..d })
            }
            (_, false) => {
                let d = ClipNce::default();
                let (steps, latent_l2) = (self.steps.unwrap_or(d.steps), self.latent_l2.unwrap_or(d.latent_l2));
                Method::ClipNce(ClipNce { steps, latent_l2, ..d })
            }
        };
        let neutral = self.neutral.clone().unwrap_or_else(|| neutral.to_owned());
        let spec = EditSpec { name: None, text: self.text.clone(), neutral, method, strength_search: None, accept: Default::default(), only: Default::default() };
        spec.validate(0)?;
        if !self.strength.is_finite() || self.strength.abs() > 10.0 {
            bail!("--strength {} is not between -10 and 10", self.strength);
        }
        Ok(spec)
    }
}

/// Edits one image and says what came of it.
///
/// # Errors
/// One sentence on what is wrong with the pack, the image or the arguments.
pub fn run(args: &EditArgs) -> Result<()> {
    let began = Instant::now();
    let opened = Pack::open(&args.pack)?;
    let problems = opened.verify().problems;
    if !problems.is_empty() {
        let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
        bail!("the pack is not sound:\n  {}", list.join("\n  "));
    }
    let spec = args.spec(&opened.manifest().text.neutral)?;
    let inversion = match args.refine {
        0 => Inversion::Encoder {},
        steps => Inversion::Hybrid(Refinement { steps, ..Refinement::default() }),
    };
    inversion.validate()?;
    let pack = LocalPack::new(opened.manifest().clone(), |file| opened.path(file));
    let settings = device_settings(args.device.as_deref(), args.threads)?;
    let device = device::open(&settings)?;
    let engine = Engine::open(&pack.config, device)?;
    let mut bench = Bench { engine, pack, memory: MemoryModel::default() };

    let source = bench.source(&args.image)?;
    let mapper = bench.mapper(args, &spec)?;
    let inverted = bench.invert(&inversion, source)?;
    let note = read_note(&inverted.latent).map_err(failure)?;
    let (text, edited) = bench.edit(&spec, mapper.clone(), &inverted, &note, args)?;
    let png = encode_png(edited.side, edited.side, &edited.raster)?;
    let context = Context {
        pack: &bench.pack,
        environment: &device::environment(device),
        text: &text,
        inversion: &inversion,
        edit: &spec,
        mapper: mapper.as_ref().map(Digest::of),
        boot: BootId::from_uuid(Uuid::new_v4()),
        batch: BatchId::from_uuid(Uuid::nil()),
        started_at: Utc::now() - began.elapsed(),
        fetch_ms: 0.0,
    };
    let record = local_record(&context, &inverted, &note, &edited, &png, args)?;
    let (file, digest) = with_record(&png, &record)?;
    write(&args.out, &file)?;
    if let Some(path) = &args.reconstruction {
        write(path, &inverted.reconstruction)?;
    }
    tell(args, &record, digest, began.elapsed());
    Ok(())
}

/// The networks, and what they compute one image with.
struct Bench {
    engine: Engine,
    pack: LocalPack,
    memory: MemoryModel,
}

impl Bench {
    fn source(&self, path: &Path) -> Result<Source> {
        let (bytes, prepared) = self.image(path)?;
        let facts = facts(Digest::of(&bytes), &prepared);
        Ok(Source { prepared, facts })
    }

    fn image(&self, path: &Path) -> Result<(Vec<u8>, Prepared)> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the image {}", path.display()))?;
        let prepared = prepare(&bytes, &Limits::default(), self.pack.resolution());
        let prepared =
            prepared.map_err(|reject| anyhow::anyhow!("{}: {reject} ({})", path.display(), reject.reason))?;
        Ok((bytes, prepared))
    }

    fn invert(&mut self, inversion: &Inversion, source: Source) -> Result<invert::Inverted> {
        let mut watch = Watch::finishing(vec![one_task()], Drain::default());
        let mut ends = invert::compute(&self.engine, &mut self.memory, inversion, &[source], &mut watch);
        ends.swap_remove(0).map_err(failure)
    }

    fn edit(
        &mut self,
        spec: &EditSpec,
        mapper: Option<Vec<u8>>,
        inverted: &invert::Inverted,
        note: &LatentNote,
        args: &EditArgs,
    ) -> Result<(TextFacts, Edited)> {
        let (_, _, reconstruction) = credentials::raster::decode(&inverted.reconstruction)?;
        let latent = inverted.latent.clone();
        let input =
            Input { latent, reconstruction, source: note.source.sha256, mask: None, strength: args.strength, seed: args.seed };
        let plan = Plan { edit: spec.clone(), mapper, goal: self.pack.goal(&spec.text) };
        let mut watch = Watch::finishing(vec![one_task()], Drain::default());
        let batch = edit::compute(&self.engine, &mut self.memory, &plan, &[input], &mut watch);
        let (text, mut ends) = batch.map_err(failure)?;
        Ok((text, ends.swap_remove(0).map_err(failure)?))
    }

    /// The mapper's file: read, trained, or none.
    fn mapper(&mut self, args: &EditArgs, spec: &EditSpec) -> Result<Option<Vec<u8>>> {
        if let Some(path) = &args.mapper {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read the mapper {}", path.display()))?;
            return Ok(Some(bytes));
        }
        let Some(folder) = &args.train_on else { return Ok(None) };
        let bytes = self.train(folder, spec)?;
        if let Some(path) = &args.save_mapper {
            write(path, &bytes)?;
        }
        Ok(Some(bytes))
    }

    fn train(&mut self, folder: &Path, spec: &EditSpec) -> Result<Vec<u8>> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.is_file());
        paths.sort();
        let Method::CfMapper(method) = &spec.method else { bail!("only cf-mapper is trained") };
        let (mut latents, mut digests) = (Vec::new(), Vec::new());
        for path in paths {
            if latents.len() as u64 >= u64::from(method.train_limit) {
                break;
            }
            match self.image(&path) {
                Ok((bytes, image)) => {
                    latents.extend(encode_part(&self.engine, &mut self.memory, &[image.raster]).map_err(failure)?);
                    digests.push(Digest::of(&bytes));
                }
                Err(error) => tracing::warn!("left out of the training: {error:#}"),
            }
        }
        if latents.is_empty() {
            bail!("{} holds no image that can be used for training", folder.display());
        }
        tracing::info!(images = latents.len(), steps = method.steps, "training a mapper");
        let n_latent = usize::try_from(self.engine.n_latent())?;
        let set = domain::digest_of(&wire::broker::v1::TrainingSet { sources: digests })?;
        let latents = join_parts(&latents, n_latent).map_err(failure)?;
        let training = Training { edit: spec.clone(), set, latents, checkpoint: None };
        let task = one_task();
        let ticking = tick(Arc::clone(&task));
        let mut watch = Watch::slicing(task, Drain::default(), Duration::from_secs(u64::from(u32::MAX)));
        let trained = train::compute(&self.engine, &training, &mut watch);
        drop(ticking);
        match trained.map_err(failure)? {
            Trained::Done(mapper) => Ok(mapper),
            Trained::Yielded(..) => bail!("the training stopped before its end"),
        }
    }
}

/// Tells the progress every few seconds until the returned handle is dropped.
fn tick(task: Arc<HeldTask>) -> std::sync::mpsc::Sender<()> {
    let (stop, stopped) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_secs(5)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::info!(percent = f64::from(task.done() * 100.0).round(), "training");
        }
    });
    stop
}

fn one_task() -> Arc<HeldTask> {
    Arc::new(HeldTask::new(Fence { task: TaskId { job: 0, no: 0 }, epoch: 0 }))
}

fn local_record(
    context: &Context<'_>,
    inverted: &invert::Inverted,
    note: &LatentNote,
    edited: &Edited,
    png: &[u8],
    args: &EditArgs,
) -> Result<Record> {
    let links = Links {
        job: JobId::from_uuid(Uuid::nil()),
        task: TaskId { job: 0, no: 0 },
        project: "local".to_owned(),
        dataset: "local".to_owned(),
        source: 0,
    };
    let item = record::Item {
        note,
        uri: &args.image.display().to_string(),
        source_latent: Digest::of(&inverted.latent),
        strength: args.strength,
        seed: args.seed,
        epoch: 0,
        links,
        edited,
        png,
        latent: Digest::of(&edited.latent),
    };
    record::write(context, item).map_err(failure)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn failure(ended: Ended) -> anyhow::Error {
    match ended {
        Ended::Failed { reason, detail } => anyhow::anyhow!("{detail} ({reason})"),
        Ended::Cancelled | Ended::Yielded => anyhow::anyhow!("interrupted"),
    }
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
fn tell(args: &EditArgs, record: &Record, digest: Digest, time: Duration) {
    println!("{}  sha256:{digest}", args.out.display());
    println!("  {} by {} in {:.1} s", args.text, record.recipe.method(), time.as_secs_f64());
    match record.outcome.verdict {
        Some(Verdict::Accept) => println!("  verdict: accept (the judge sees the target)"),
        Some(Verdict::Reject) => println!("  verdict: reject (the judge does not see the target)"),
        None => println!("  verdict: none (the pack's judge cannot read this text)"),
    }
    for (head, [before, after]) in record.outcome.judged.iter().filter(|(_, [before, after])| before != after) {
        println!("  {head}: {before} -> {after}");
    }
    for (name, value) in &record.outcome.metrics {
        println!("  {name}: {value:.4}");
    }
}
