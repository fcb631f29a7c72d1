//! `worker replay`: outputs rendered again from the records inside them, through the same stages as a batch, and compared.
//!
//! What a record names is proven before anything is computed: source, mask, mapper and weights by their digests, the prepared source by
//! its raster's. Kernels may sum in another order in a batch of another size, so an output is computed in its recorded slot of a batch of
//! the recorded size, whose other slots hold copies; and so is its inversion. Records of earlier versions do not tell the batch of the
//! inversion, nor which of a batch's items were one edit (several strengths of an edit are computed once): there both are found by trying.

mod compare;
mod inputs;

use crate::config::device_settings;
use crate::single::{Bench, UNNAMED, failure, sound_pack};
use crate::stages::edit::{Edited, Input};
use crate::stages::fetch::facts;
use crate::stages::invert::{Inverted, Source};
use crate::stages::prepare::{Limits, prepare_framed_mask, upright};
use anyhow::{Context as _, Result, anyhow, bail};
use compare::{Difference, Outcome};
use domain::inversion::Inversion;
use domain::record::{MicroBatch, Record};
use domain::{Digest, Precision};
use inputs::{Objects, Output};
use networks::device::{self, Products};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// An output differs from its record.
const DIFFERS: u8 = 4;

/// Inverted sources that are kept: outputs of one source need not lie side by side.
const KEPT: usize = 16;

/// Sizes of the batch that a source may have been inverted in, tried in order after the size that was right before.
const INVERSION_SIZES: [usize; 10] = [1, 8, 4, 2, 3, 5, 6, 7, 16, 32];

/// What to render again.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    /// Outputs with their records inside, or records as JSON, which are compared by digest alone.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Folder of the pack that they were made with.
    #[arg(long, value_name = "DIR")]
    pub pack: PathBuf,
    /// The source, or a folder of sources; repeat for several. [default: where the record says it was registered from]
    #[arg(long, value_name = "FILE")]
    pub source: Vec<PathBuf>,
    /// A trained mapper, or a folder of them; repeat for several.
    #[arg(long, value_name = "FILE")]
    pub mapper: Vec<PathBuf>,
    /// A mask, or a folder of masks; repeat for several.
    #[arg(long, value_name = "FILE")]
    pub mask: Vec<PathBuf>,
    /// `cpu`, `cuda` or `cuda:N`. [default: the kind that the first record names]
    #[arg(long, env = "CFX_DEVICE")]
    pub device: Option<String>,
    /// CPU threads of one operation. [default: as each record says]
    #[arg(long)]
    pub threads: Option<usize>,
    /// How wide convolutions are computed on a CPU: `winograd` or `direct`. [default: as the first record says]
    #[arg(long)]
    pub convolutions: Option<String>,
    /// What to compute in: `fp32`, `tf32` or `bf16`. [default: as each record says]
    #[arg(long)]
    pub precision: Option<Precision>,
    /// By how many levels of 0 to 255 a pixel may differ.
    #[arg(long, default_value_t = 0)]
    pub tolerance: u8,
    /// Print a JSON object a line, in the order of the files.
    #[arg(long)]
    pub json: bool,
}

/// Renders every output again; the exit code: 1 if one could not be, else 4 if one differs by more than the tolerance.
///
/// # Errors
/// What concerns all of them: the pack, the device.
pub fn run(args: &ReplayArgs) -> Result<u8> {
    let pack = sound_pack(&args.pack)?;
    let mut replayer = Replayer {
        sources: Objects::new(&args.source),
        mappers: Objects::new(&args.mapper),
        masks: Objects::new(&args.mask),
        args,
        pack,
        bench: None,
        inverted: VecDeque::new(),
        inversion_size: 1,
        run: 1,
    };
    let (mut failed, mut differ) = (false, false);
    for file in &args.files {
        match replayer.replay(file) {
            Ok(outcome) => {
                differ |= !outcome.within(args.tolerance);
                compare::tell(file, &outcome, args)?;
            }
            Err(error) => {
                failed = true;
                compare::tell_failure(file, &error, args)?;
            }
        }
    }
    Ok(if failed { 1 } else { u8::from(differ) * DIFFERS })
}

struct Replayer<'a> {
    args: &'a ReplayArgs,
    pack: packs::Pack,
    /// Opened by the first record, which may say on which device, and again where one has another precision.
    bench: Option<(Bench, device::Environment)>,
    sources: Objects,
    mappers: Objects,
    masks: Objects,
    /// The latest inverted sources, by recorded latent and inversion.
    inverted: VecDeque<((Digest, Digest), Inverted)>,
    /// The batch size that inverted the last source as recorded.
    inversion_size: usize,
    /// How many items in a row were one edit, in the batch of the last output.
    run: usize,
}

impl Replayer<'_> {
    fn replay(&mut self, file: &Path) -> Result<Outcome> {
        let output = Output::read(file)?;
        let record = &output.record;
        let recipe = &record.recipe;
        let MicroBatch { size, slot } = record.execution.micro_batch;
        if size == 0 || slot >= size {
            bail!("the record names slot {slot} of a batch of {size}");
        }
        if recipe.edit.method.numerics().couples_batch() && size > 1 {
            bail!("its numeric mode couples the items of a batch, and the other {} are not in the record", size - 1);
        }
        self.open(record)?;
        let mapper = match recipe.mapper {
            Some(digest) => Some(self.mappers.find(digest, None)?.with_context(|| {
                format!("the mapper {digest} is not among the files given; name it with --mapper FILE")
            })?),
            None => None,
        };
        let source = self.source(&output)?;
        let mask = recipe.mask.map(|digest| self.mask(digest, &source)).transpose()?;
        let inverted = self.invert(record, source)?;
        let departs = (Digest::of(&inverted.reconstruction) != record.outcome.reconstruction).then_some("inversion");
        let (_, _, reconstruction) = credentials::raster::decode(&inverted.reconstruction)?;
        let input = Input {
            latent: inverted.latent,
            reconstruction,
            source: recipe.source.sha256,
            mask,
            strength: recipe.strength,
            seed: recipe.seed,
            key: UNNAMED,
            checkpoint: None,
        };
        let expected = output.expected();
        let mut rendered: Option<(Edited, Option<&'static str>)> = None;
        let tries = match record.execution.edit_batch {
            Some(distinct) => vec![(self.run, arrangement(size, slot, distinct)?)],
            None => arrangements(size as usize, self.run),
        };
        for (run, groups) in tries {
            let batch = batch(&input, slot as usize, &groups);
            let (bench, _) = self.bench.as_mut().context("no pack is open")?;
            let (text, mut ends) = bench.edit_batch(&recipe.edit, mapper.clone(), &batch)?;
            if text.expanded != recipe.text.expanded {
                bail!("the pack expands the texts into other sentences than the record names");
            }
            let edited = ends.swap_remove(slot as usize).map_err(failure)?;
            let equal = Digest::of(&edited.raster) == expected;
            let departs = departs.or((!equal).then_some("edit"));
            if equal || rendered.is_none() {
                rendered = Some((edited, departs));
            }
            if equal {
                self.run = run;
                break;
            }
        }
        let (edited, departs) = rendered.context("nothing was rendered")?;
        let (bench, environment) = self.bench.as_ref().context("no pack is open")?;
        Ok(Outcome {
            difference: Difference::of(&edited.raster, expected, output.raster.as_deref()),
            departs_at: departs.filter(|_| Digest::of(&edited.raster) != expected),
            environment: compare::environment(
                &output.json,
                environment,
                bench.precision,
                bench.pack.digest,
                (edited.micro_batch, edited.edit_batch),
            ),
        })
    }

    /// Opens the pack once its weights are known to be those of the record, and takes the record's number of threads.
    fn open(&mut self, record: &Record) -> Result<()> {
        let found = crate::engine::LocalPack::new(self.pack.manifest().clone(), |file| self.pack.path(file)).models();
        for (role, expected) in &record.recipe.models {
            match found.get(role) {
                None => bail!("the pack has no {role}, and the record names {expected}"),
                Some(digest) if digest != expected => {
                    bail!("the pack's {role} is {digest}, and the record names {expected}")
                }
                Some(_) => {}
            }
        }
        let threads = self.args.threads.unwrap_or(record.execution.threads as usize).max(1);
        let precision = match self.args.precision {
            Some(precision) => precision,
            None => record.recipe.precision.parse().context("the record")?,
        };
        if self.bench.as_ref().is_none_or(|(bench, _)| bench.precision != precision) {
            let kind = if record.execution.device.starts_with("cuda") { "cuda" } else { "cpu" };
            // Records that do not say are from a time when there was one way.
            let recorded = record.execution.environment.get("convolutions").map_or("direct", String::as_str);
            let convolutions = self.args.convolutions.as_deref().unwrap_or(recorded);
            let kind = self.args.device.as_deref().unwrap_or(kind);
            let settings = device_settings(Some(kind), Some(threads), Some(convolutions))?;
            // Likewise.
            let products = match record.execution.environment.get("products").map(String::as_str) {
                Some("onednn") => Products::OneDnn,
                _ => Products::Blas,
            };
            let tf32 = precision.allows_tf32();
            let device = device::open(&device::Settings { tf32, products, ..settings })?;
            // Drawn by the generator before this one.
            self.inverted.clear();
            self.bench = Some((Bench::open(&self.pack, device, precision)?, device::environment(device)));
        }
        // safe to narrow: clamped to what libtorch can count
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        tch::set_num_threads(threads);
        if let Some((_, environment)) = &mut self.bench {
            environment.threads = tch::get_num_threads();
        }
        Ok(())
    }

    /// The source, prepared as the record says.
    fn source(&mut self, output: &Output) -> Result<Source> {
        let recorded = &output.record.recipe.source;
        let bytes = self.sources.find(recorded.sha256, output.source_uri())?.with_context(|| {
            format!("the source {} is not at hand, or has changed; name it with --source FILE", recorded.sha256)
        })?;
        let (bench, _) = self.bench.as_ref().context("no pack is open")?;
        let resolution = bench.pack.resolution();
        let image = upright(&bytes, &Limits::default()).map_err(|reject| anyhow!("the source: {reject}"))?;
        let prepared = match &recorded.face {
            Some(face) => image.framed(face.clone(), resolution),
            None => image.square(resolution),
        };
        let prepared = prepared.map_err(|reject| anyhow!("the source: {reject}"))?;
        if prepared.raster_sha256 != recorded.raster_sha256 {
            bail!(
                "the source is prepared otherwise here: its raster is {}, and the record names {}",
                prepared.raster_sha256,
                recorded.raster_sha256
            );
        }
        let facts = facts(recorded.sha256, &prepared);
        Ok(Source { prepared, facts, key: UNNAMED, checkpoint: None })
    }

    fn mask(&mut self, digest: Digest, source: &Source) -> Result<Vec<u8>> {
        let bytes = self.masks.find(digest, None)?;
        let bytes = bytes
            .with_context(|| format!("the mask {digest} is not among the files given; name it with --mask FILE"))?;
        let raster = prepare_framed_mask(&bytes, &source.facts, source.prepared.resolution);
        raster.map_err(|reject| anyhow!("the mask: {reject}"))
    }

    /// The source inverted in its recorded slot of a batch of the recorded size. Where none is recorded: in a batch of the size that gives
    /// the recorded latent if there is one; else one whose reconstruction is as recorded; else by itself.
    fn invert(&mut self, record: &Record, source: Source) -> Result<Inverted> {
        let inversion: &Inversion = &record.recipe.inversion;
        let key = (record.recipe.source_latent, domain::digest_of(inversion)?);
        if let Some((_, known)) = self.inverted.iter().find(|(known, _)| *known == key) {
            return Ok(known.clone());
        }
        let (bench, _) = self.bench.as_mut().context("no pack is open")?;
        let inverted = match record.execution.inversion_batch {
            Some(MicroBatch { size, slot }) => {
                if slot >= size {
                    bail!("the record names slot {slot} of an inversion of {size}");
                }
                bench.invert_batch(inversion, &vec![source; size as usize]).swap_remove(slot as usize)?
            }
            None => self.invert_by_trying(record, &source)?,
        };
        if self.inverted.len() == KEPT {
            self.inverted.pop_front();
        }
        self.inverted.push_back((key, inverted.clone()));
        Ok(inverted)
    }

    fn invert_by_trying(&mut self, record: &Record, source: &Source) -> Result<Inverted> {
        let inversion: &Inversion = &record.recipe.inversion;
        let (bench, _) = self.bench.as_mut().context("no pack is open")?;
        let mut sizes = vec![self.inversion_size];
        sizes.extend(INVERSION_SIZES.into_iter().filter(|size| *size != self.inversion_size));
        let (mut best, mut alone) = (None, None);
        for size in sizes {
            let mut ends = bench.invert_batch(inversion, &vec![source.clone(); size]);
            let inverted = ends.swap_remove(0)?;
            if Digest::of(&inverted.latent) == record.recipe.source_latent {
                self.inversion_size = size;
                best = Some(inverted);
                break;
            }
            let alike = Digest::of(&inverted.reconstruction) == record.outcome.reconstruction;
            if alike && best.is_none() {
                best = Some(inverted.clone());
            }
            alone.get_or_insert(inverted);
        }
        best.or(alone).context("nothing was inverted")
    }
}

/// A batch of `size` with as many distinct edits as the recorded one, in which that at `slot` has its recorded place among them: each
/// item's group, numbered as they first appear.
fn arrangement(size: u32, slot: u32, distinct: MicroBatch) -> Result<Vec<usize>> {
    let MicroBatch { size: groups, slot: own } = distinct;
    let mut next = 0;
    let mut arranged = Vec::with_capacity(size as usize);
    for place in 0..size {
        if place == slot {
            arranged.push(own as usize);
            next = next.max(own + 1);
        } else {
            arranged.push(next.min(groups.saturating_sub(1)) as usize);
            next = (next + 1).min(groups);
        }
    }
    if own > slot || next != groups {
        bail!("the record names edit {own} of {groups} at slot {slot} of a batch of {size}, which cannot be");
    }
    Ok(arranged)
}

/// The ways in which the items of a batch of `size` may have been one edit: each item's group, from 0, in runs of 1, 2, ... strengths,
/// of which the first may have begun in an earlier batch. Runs of `likely` come first.
fn arrangements(size: usize, likely: usize) -> Vec<(usize, Vec<usize>)> {
    let runs = std::iter::once(likely.clamp(1, size)).chain(1..=size);
    let mut found: Vec<(usize, Vec<usize>)> = Vec::new();
    for run in runs {
        for begun in 0..run {
            let groups: Vec<usize> = (0..size).map(|place| (place + begun) / run).collect();
            if !found.iter().any(|(_, known)| *known == groups) {
                found.push((run, groups));
            }
        }
    }
    found
}

/// A batch of copies of `input`, in groups that the stage takes for different edits, with `input` itself at `slot`.
fn batch(input: &Input, slot: usize, groups: &[usize]) -> Vec<Input> {
    let copy = |group: &usize| {
        let mut copy = input.clone();
        if *group != groups[slot] {
            copy.source = Digest::of(format!("a copy in group {group}"));
        }
        copy
    };
    groups.iter().map(copy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_fill_the_other_slots() {
        let input = Input {
            latent: vec![1],
            reconstruction: vec![2],
            source: Digest::of("source"),
            mask: None,
            strength: 1.0,
            seed: 0,
            key: UNNAMED,
            checkpoint: None,
        };
        for (size, slot, groups, distinct) in [(3, 1, vec![0, 1, 2], 3), (3, 2, vec![0, 1, 1], 2), (1, 0, vec![0], 1)] {
            let batch = batch(&input, slot, &groups);
            let sources: std::collections::BTreeSet<_> = batch.iter().map(|item| item.source).collect();
            assert_eq!((batch.len(), sources.len()), (size, distinct));
            assert_eq!(batch[slot].source, input.source);
        }
    }

    #[test]
    fn a_recorded_batch_has_one_arrangement() {
        let arranged = |size, slot, groups, own| arrangement(size, slot, MicroBatch { size: groups, slot: own }).ok();
        assert_eq!(arranged(1, 0, 1, 0), Some(vec![0]));
        assert_eq!(arranged(3, 2, 2, 0), Some(vec![0, 1, 0]), "A B A");
        assert_eq!(arranged(3, 2, 2, 1), Some(vec![0, 1, 1]), "A A B is computed as A B B is");
        assert_eq!(arranged(4, 1, 4, 1), Some(vec![0, 1, 2, 3]));
        assert_eq!(arranged(4, 0, 1, 0), Some(vec![0; 4]));
        // every batch of up to five items has one, with its slot's place and its number of groups
        for size in 1..=5_u32 {
            let mut batches = vec![vec![0_usize]];
            for _ in 1..size {
                let longer = |batch: &Vec<usize>| {
                    let most = batch.iter().max().map_or(0, |most| most + 1);
                    (0..=most).map(|group| [batch.clone(), vec![group]].concat()).collect::<Vec<_>>()
                };
                batches = batches.iter().flat_map(longer).collect();
            }
            for batch in batches {
                let groups = batch.iter().max().map_or(0, |most| most + 1);
                for (slot, own) in batch.iter().enumerate() {
                    let found = arranged(size, slot as u32, groups as u32, *own as u32).unwrap();
                    let mut firsts = found.clone();
                    firsts.sort_unstable();
                    firsts.dedup();
                    assert_eq!((found[slot], firsts), (*own, (0..groups).collect()), "{batch:?} at {slot}");
                }
            }
        }
        for impossible in [(2, 0, 2, 1), (2, 1, 3, 0), (2, 1, 0, 0), (3, 1, 2, 2)] {
            let (size, slot, groups, own) = impossible;
            assert_eq!(arranged(size, slot, groups, own), None, "{impossible:?}");
        }
    }

    #[test]
    fn runs_of_strengths_may_begin_in_an_earlier_batch() {
        let groups =
            |size, likely| arrangements(size, likely).into_iter().map(|(_, groups)| groups).collect::<Vec<_>>();
        assert_eq!(groups(1, 4), [[0]]);
        assert_eq!(groups(3, 2), [[0, 0, 1], [0, 1, 1], [0, 1, 2], [0, 0, 0]]);
        assert!(arrangements(7, 1).contains(&(2, vec![0, 1, 1, 2, 2, 3, 3])));
        assert!(arrangements(8, 1).len() <= 36);
    }
}
