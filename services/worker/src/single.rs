//! `worker edit`: one edit with no services at all, through the same stages as a batch.

mod args;
mod own_key;

pub use args::EditArgs;

use crate::config::{device_settings, in_precision};
use crate::drain::Drain;
use crate::engine::LocalPack;
use crate::held::HeldTask;
use crate::stages::detect;
use crate::stages::edit::{self, Edited, Input, Plan};
use crate::stages::ended::Ended;
use crate::stages::fetch::facts;
use crate::stages::invert::{self, LatentNote, Source, read_note};
use crate::stages::prepare::{Limits, Prepared, prepare_framed_mask, upright};
use crate::stages::record::{self, Context, Drawn};
use crate::stages::train;
use crate::stages::train::{Trained, Training, encode_part, join_parts};
use crate::stages::watermark::Watermarker;
use crate::watch::Watch;
use anyhow::{Context as _, Result, bail};
use chrono::Utc;
use credentials::{Ingredient, embed_record, put_xmp};
use domain::edit::EditSpec;
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::inversion::{Inversion, Refinement};
use domain::record::{FaceFacts, LandmarkOrigin, Links, Record, SourceFacts, Verdict, WrittenRecord, media_type};
use domain::{Digest, Framing, Precision, StageKey};
use editing::Engine;
use editing::batch::MemoryModel;
use networks::device;
use packs::Pack;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::broker::v1::{Fence, TrainingSet};

/// Work at the command line is run to its end: no checkpoint will name it.
pub const UNNAMED: StageKey = StageKey(Digest::from_bytes([0; 32]));

/// Edits one image and says what came of it.
///
/// # Errors
/// One sentence on what is wrong with the pack, the image or the arguments.
pub fn run(args: &EditArgs) -> Result<()> {
    let began = Instant::now();
    let opened = sound_pack(&args.pack)?;
    let mut spec = args.spec(&opened.manifest().text.neutral)?;
    let inversion = match args.refine {
        0 => Inversion::Encoder {},
        steps => Inversion::Hybrid(Refinement { steps, ..Refinement::default() }),
    };
    inversion.validate()?;
    let (output, issuer) = (args.output()?, own_key::issuer(args)?);
    let settings = device_settings(args.device.as_deref(), args.threads, args.convolutions.as_deref())?;
    let device = device::open(&in_precision(args.precision, settings)?)?;
    let mut bench = Bench::open(&opened, device, args.precision)?;
    let source = bench.source(&args.image, &args.framing()?)?;
    let source_bytes = std::fs::read(&args.image).ok();
    let mask = args.mask.as_deref().map(|path| bench.mask(path, &source.facts)).transpose()?;
    let mapper = bench.mapper(args, &spec)?;
    if let (Some(bytes), Some(_)) = (&mapper, &args.mapper) {
        spec.method = spec.method.with_mapper(Digest::of(bytes));
    }
    let inverted = bench.invert(&inversion, source)?;
    let note = read_note(&inverted.latent).map_err(failure)?;
    let raster = mask.as_ref().map(|(_, raster)| raster.as_slice());
    let (text, ends) = bench.edit(&spec, mapper.clone(), &inverted, &note, raster, args)?;
    let tensors = bench.pack.tensors().context("the pack's files cannot be read")?;
    let context = Context {
        pack: &bench.pack,
        tensors: &tensors,
        environment: &device::environment(device),
        precision: args.precision,
        text: &text,
        inversion: &inversion,
        edit: &spec,
        mapper: mapper.as_ref().map(Digest::of),
        boot: BootId::from_uuid(Uuid::new_v4()),
        batch: BatchId::from_uuid(Uuid::nil()),
        started_at: Utc::now() - began.elapsed(),
        fetch_ms: 0.0,
        output: &output,
        watermarker: &Watermarker::None,
    };
    let mut reconstruction = args.reconstruction.as_deref();
    for (&strength, end) in args.strengths.iter().zip(ends) {
        let edited = end.map_err(failure)?;
        let drawn = draw(context.draw(&edited))?;
        let own = Own { strength, mask: mask.as_ref().map(|(digest, _)| *digest), edited: &edited, drawn: &drawn };
        let record = local_record(&context, &inverted, &note, own, args)?;
        let file = put_xmp(&embed_record(&drawn.file, &record, output.detail)?, &record, output.detail)?;
        let credentialed = source_bytes.as_deref().filter(|_| note.origin.is_some_and(|origin| origin.credentialed));
        let ingredient = Ingredient { media_type: &media_type(&note.source.format), credentialed };
        let file = match &issuer {
            Some(issuer) => issuer.issue(&file, &record, output.detail, ingredient)?,
            None => file,
        };
        // the first record speaks for it
        if let Some(path) = reconstruction.take() {
            let plain = &inverted.reconstruction;
            let signed = issuer.as_ref().map(|issuer| issuer.issue_reconstruction(plain, &record, ingredient));
            write(path, &signed.transpose()?.unwrap_or_else(|| plain.clone()))?;
        }
        let digest = Digest::of(&file);
        let out = args.out_of(strength);
        write(&out, &file)?;
        tell(args, &out, &record, digest, began.elapsed());
    }
    Ok(())
}

/// A pack whose files are as its manifest says.
///
/// # Errors
/// Every file that is not.
pub fn sound_pack(folder: &Path) -> Result<Pack> {
    let opened = Pack::open(folder)?;
    let problems = opened.verify().problems;
    if !problems.is_empty() {
        let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
        bail!("the pack is not sound:\n  {}", list.join("\n  "));
    }
    Ok(opened)
}

/// The networks, and what they compute one image with.
pub struct Bench {
    /// The networks.
    pub engine: Engine,
    /// Where they come from.
    pub pack: LocalPack,
    /// What they compute in.
    pub precision: Precision,
    memory: MemoryModel,
}

impl Bench {
    /// Loads the networks of a pack on a device.
    ///
    /// # Errors
    /// When a network cannot be loaded.
    pub fn open(opened: &Pack, device: tch::Device, precision: Precision) -> Result<Self> {
        let pack = LocalPack::new(opened.manifest().clone(), |file| opened.path(file));
        let engine = Engine::open_in(&pack.config, device, precision)?;
        Ok(Self { memory: MemoryModel::of(engine.device()), engine, pack, precision })
    }

    fn source(&self, path: &Path, framing: &Framing) -> Result<Source> {
        let (bytes, prepared) = self.image(path, framing)?;
        let facts = facts(Digest::of(&bytes), &prepared);
        Ok(Source { prepared, facts, key: UNNAMED, checkpoint: None })
    }

    fn image(&self, path: &Path, framing: &Framing) -> Result<(Vec<u8>, Prepared)> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the image {}", path.display()))?;
        let prepared = self.framed(&bytes, framing).map_err(failure).with_context(|| path.display().to_string())?;
        Ok((bytes, prepared))
    }

    /// As a batch frames it: by the landmarks given, or by the face that the pack's detector finds.
    fn framed(&self, bytes: &[u8], framing: &Framing) -> Result<Prepared, Ended> {
        let image = upright(bytes, &Limits::default())?;
        let resolution = self.pack.resolution();
        let face = match framing {
            Framing::CentreSquare => return Ok(image.square(resolution)?),
            Framing::Ffhq { landmarks: Some(landmarks) } => {
                FaceFacts { landmarks: landmarks.clone(), origin: LandmarkOrigin::Given }
            }
            Framing::Ffhq { landmarks: None } => detect::compute(&self.engine, &image.picture()?)?,
        };
        Ok(image.framed(face, resolution)?)
    }

    fn invert(&mut self, inversion: &Inversion, source: Source) -> Result<invert::Inverted> {
        self.invert_batch(inversion, &[source]).swap_remove(0)
    }

    /// Inverts sources in one batch, as far as memory allows; one end each.
    pub fn invert_batch(&mut self, inversion: &Inversion, sources: &[Source]) -> Vec<Result<invert::Inverted>> {
        let tasks = sources.iter().map(|_| one_task()).collect();
        let mut watch = Watch::finishing(tasks, Drain::default(), Duration::MAX);
        let ends = invert::compute(&self.engine, &mut self.memory, inversion, sources, &mut watch);
        ends.into_iter().map(|end| end.map_err(failure)).collect()
    }

    /// The mask's digest, and the mask at the generator's size.
    fn mask(&self, path: &Path, source: &SourceFacts) -> Result<(Digest, Vec<u8>)> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the mask {}", path.display()))?;
        let raster = prepare_framed_mask(&bytes, source, self.pack.resolution());
        let raster = raster.map_err(|reject| anyhow::anyhow!("{}: {reject} ({})", path.display(), reject.reason))?;
        Ok((Digest::of(&bytes), raster))
    }

    /// One image per strength, from one edit.
    fn edit(
        &mut self,
        spec: &EditSpec,
        mapper: Option<Vec<u8>>,
        inverted: &invert::Inverted,
        note: &LatentNote,
        mask: Option<&[u8]>,
        args: &EditArgs,
    ) -> Result<edit::Batch> {
        let (_, _, reconstruction) = credentials::raster::decode(&inverted.reconstruction)?;
        let input = |&strength: &f64| Input {
            latent: inverted.latent.clone(),
            reconstruction: reconstruction.clone(),
            source: note.source.sha256,
            mask: mask.map(<[u8]>::to_vec),
            strength,
            seed: args.seed,
            key: UNNAMED,
            checkpoint: None,
        };
        let inputs: Vec<_> = args.strengths.iter().map(input).collect();
        self.edit_batch(spec, mapper, &inputs)
    }

    /// Edits latents in one batch, as far as memory allows.
    ///
    /// # Errors
    /// What concerns the whole batch: a text that is too long, a mapper that is missing or for another pack.
    pub fn edit_batch(&mut self, spec: &EditSpec, mapper: Option<Vec<u8>>, inputs: &[Input]) -> Result<edit::Batch> {
        let plan = Plan { edit: spec.clone(), mapper, goal: self.pack.goal(&spec.text) };
        let tasks = inputs.iter().map(|_| one_task()).collect();
        let mut watch = Watch::finishing(tasks, Drain::default(), Duration::MAX);
        edit::compute(&self.engine, &mut self.memory, &plan, inputs, &mut watch).map_err(failure)
    }

    /// The mapper's file: read, trained, or none.
    fn mapper(&mut self, args: &EditArgs, spec: &EditSpec) -> Result<Option<Vec<u8>>> {
        if let Some(path) = &args.mapper {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read the mapper {}", path.display()))?;
            return Ok(Some(bytes));
        }
        let Some(folder) = &args.train_on else { return Ok(None) };
        let bytes = self.train(folder, spec, args)?;
        if let Some(path) = &args.save_mapper {
            write(path, &bytes)?;
        }
        Ok(Some(bytes))
    }

    fn train(&mut self, folder: &Path, spec: &EditSpec, args: &EditArgs) -> Result<Vec<u8>> {
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        paths.retain(|path| path.is_file());
        paths.sort();
        let method = spec.method.training().with_context(|| format!("{} trains no mapper", spec.method.name()))?;
        let framing = args.frame.of(None);
        let (mut latents, mut list) = (Vec::new(), TrainingSet::default());
        for path in paths {
            if latents.len() as u64 >= u64::from(method.train_limit) {
                break;
            }
            match self.image(&path, &framing) {
                Ok((bytes, image)) => {
                    latents.extend(encode_part(&self.engine, &mut self.memory, &[image.raster]).map_err(failure)?);
                    list.sources.push(Digest::of(&bytes));
                    list.framings.extend((!framing.is_default()).then(|| framing.clone()));
                }
                Err(error) => tracing::warn!("left out of the training: {error:#}"),
            }
        }
        if latents.is_empty() {
            bail!("{} holds no image that can be used for training", folder.display());
        }
        tracing::info!(images = latents.len(), steps = method.steps, "training a mapper");
        let n_latent = usize::try_from(self.engine.n_latent())?;
        let set = domain::digest_of(&list)?;
        let latents = join_parts(&latents, n_latent).map_err(failure)?;
        let training = Training { edit: spec.clone(), set, latents, checkpoint: None };
        let task = one_task();
        let ticking = tick(Arc::clone(&task));
        let mut watch = Watch::slicing(task, Drain::default(), Duration::from_secs(u64::from(u32::MAX)));
        let trained = train::compute(&self.engine, &mut None, &training, &mut watch);
        drop(ticking);
        match trained.map_err(failure)? {
            Trained::Done(mapper) => Ok(mapper),
            Trained::Yielded(..) => bail!("the training stopped before its end"),
            Trained::Diverged { failure: ended, .. } => Err(failure(ended)),
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

/// Runs what may wait for a program that puts a watermark in.
fn draw(drawing: impl Future<Output = Result<Drawn, Ended>>) -> Result<Drawn> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(drawing).map_err(failure)
}

/// What one strength gave.
struct Own<'a> {
    strength: f64,
    mask: Option<Digest>,
    edited: &'a Edited,
    drawn: &'a Drawn,
}

fn local_record(
    context: &Context<'_>,
    inverted: &invert::Inverted,
    note: &LatentNote,
    own: Own<'_>,
    args: &EditArgs,
) -> Result<WrittenRecord> {
    let links = Links {
        job: JobId::from_uuid(Uuid::nil()),
        task: TaskId { job: 0, no: 0 },
        project: "local".to_owned(),
        dataset: "local".to_owned(),
        source: 0,
        source_uri: Some(args.image.display().to_string()),
        parents: Vec::new(),
        pack: None,
        license: None,
        submitter: None,
    };
    let item = record::Item {
        note,
        source_latent: Digest::of(&inverted.latent),
        mask: own.mask,
        strength: own.strength,
        seed: args.seed,
        epoch: 0,
        links,
        edited: own.edited,
        drawn: own.drawn,
        key: None,
        latent: Digest::of(&own.edited.latent),
    };
    record::write(context, item).map_err(failure)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The end of work at the command line, in a sentence.
pub fn failure(ended: Ended) -> anyhow::Error {
    match ended {
        Ended::Failed { reason, detail } => anyhow::anyhow!("{detail} ({reason})"),
        Ended::Cancelled | Ended::Yielded(_) => anyhow::anyhow!("interrupted"),
    }
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
fn tell(args: &EditArgs, out: &Path, record: &Record, digest: Digest, time: Duration) {
    println!("{}  sha256:{digest}", out.display());
    let (method, strength) = (record.recipe.method(), record.recipe.strength);
    println!("  {} by {method} at strength {strength} in {:.1} s", args.text, time.as_secs_f64());
    match record.outcome.verdict {
        Some(Verdict::Accept) => println!("  verdict: accepted"),
        Some(Verdict::Reject) => {
            let reasons: Vec<_> = record.outcome.rejected_for.iter().map(|reason| reason.name()).collect();
            println!("  verdict: rejected for {}", reasons.join(", "));
        }
        None => println!("  verdict: none (the pack's judge cannot tell this text, and no other rule was given)"),
    }
    for (head, [before, after]) in record.outcome.judged.iter().filter(|(_, [before, after])| before != after) {
        println!("  {head}: {before} -> {after}");
    }
    for (name, value) in &record.outcome.metrics {
        println!("  {name}: {value:.4}");
    }
}
