//! `worker score`: what a classifier says of images, as a CSV that `cfx audit` reads.
//!
//! The classifier is a TorchScript file, or a judge of ours. Every image is framed as sources are before they are edited, so that a
//! source, its reconstruction and its edit are seen alike. Scores of images that stand in the output already are not computed again, and
//! a line is written whole or not at all: an interrupted run goes on.

mod classifier;
mod table;

use crate::config::device_settings;
use crate::stages::prepare::{Limits, upright};
use anyhow::{Context as _, Result, anyhow, bail};
use classifier::Classifier;
use domain::Digest;
use domain::record::FaceFacts;
use editing::raster;
use networks::device;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use table::Table;

/// What to score, and by what.
#[derive(clap::Args, Debug)]
pub struct ScoreArgs {
    /// A TorchScript file, from B x 3 x S x S images to B x classes or B numbers; or, with --pack, the weights of a judge with that pack's heads.
    #[arg(long, value_name = "FILE", required_unless_present = "pack")]
    pub classifier: Option<PathBuf>,
    /// Folder of a pack whose judge is the classifier.
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    /// Which of the judge's heads is asked. [default: the only one]
    #[arg(long, requires = "pack")]
    pub head: Option<String>,
    /// Folder of the images; files whose names begin with a dot are passed over.
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// The scores: sha256, label and score_CLASS of each image. What stands in it already is kept.
    #[arg(long, value_name = "CSV")]
    pub out: PathBuf,
    /// Height and width that images are framed to first, as before an edit, px. [default: what the classifier takes]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub resolution: Option<u32>,
    /// Faces to frame images by, as JSON: SHA-256 of an image to the `face` of its record.
    #[arg(long, value_name = "JSON")]
    pub faces: Option<PathBuf>,
    /// Height and width that a TorchScript file takes, px. [default: that of --resolution]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub image_size: Option<u32>,
    /// Means that are subtracted from images in [0, 1], one or one a channel. [default: 0]
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    pub mean: Vec<f64>,
    /// By what they are divided afterwards. [default: 1]
    #[arg(long, value_delimiter = ',')]
    pub std: Vec<f64>,
    /// Names of a TorchScript file's classes, in order. [default: 0, 1, ...]
    #[arg(long, value_delimiter = ',')]
    pub classes: Vec<String>,
    /// The TorchScript file gives probabilities, not logits.
    #[arg(long)]
    pub probabilities: bool,
    /// Images at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, env = "CFX_DEVICE")]
    pub device: Option<String>,
    /// CPU threads of one operation. [default: 1]
    #[arg(long, env = "CFX_THREADS")]
    pub threads: Option<usize>,
    /// How wide convolutions are computed on a CPU: `winograd`, or `direct`, which rounds less and is slower. [default: winograd]
    #[arg(long, env = "CFX_CONVOLUTIONS")]
    pub convolutions: Option<String>,
}

/// Scores every image that the output lacks.
///
/// # Errors
/// One sentence on what is wrong with the classifier, an image or the output.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let device = device::open(&device_settings(args.device.as_deref(), args.threads, args.convolutions.as_deref())?)?;
    let classifier = Classifier::open(args, device)?;
    let faces = faces(args.faces.as_deref())?;
    let paths = images(&args.images)?;
    let mut table = Table::open(&args.out)?;
    let mut waiting = Vec::new();
    let (mut scored, mut kept) = (0, 0);
    for (place, path) in paths.iter().enumerate() {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the image {}", path.display()))?;
        let digest = Digest::of(&bytes);
        // the same picture may lie there under two names
        if table.has(digest) || waiting.iter().any(|(waits, _)| *waits == digest) {
            kept += 1;
        } else {
            let seen = framed(&bytes, faces.get(&digest), args.resolution, classifier.image_size())
                .with_context(|| path.display().to_string())?;
            waiting.push((digest, seen));
        }
        if waiting.len() == args.batch as usize || (place + 1 == paths.len() && !waiting.is_empty()) {
            scored += waiting.len();
            pass(&classifier, &mut table, &std::mem::take(&mut waiting))?;
        }
    }
    tell(scored, kept, &args.out);
    Ok(())
}

fn pass(classifier: &Classifier, table: &mut Table, images: &[(Digest, Vec<u8>)]) -> Result<()> {
    let rasters: Vec<&[u8]> = images.iter().map(|(_, raster)| raster.as_slice()).collect();
    let tensor = raster::from_rgb8(&rasters, i64::from(classifier.image_size()), classifier.device())?;
    let scores = classifier.probabilities(&tensor)?;
    let names: Vec<Digest> = images.iter().map(|(digest, _)| *digest).collect();
    if let Some(bad) = scores.iter().position(|row| row.iter().any(|score| !score.is_finite())) {
        bail!("the classifier's output for the image {} is not finite", names[bad]);
    }
    table.append(classifier.classes(), &names, &scores)
}

/// RGB8 at `size`, by way of `resolution`: as a source looks when it reaches the networks.
fn framed(bytes: &[u8], face: Option<&FaceFacts>, resolution: Option<u32>, size: u32) -> Result<Vec<u8>> {
    let refused = |reject: crate::stages::prepare::Reject| anyhow!("{reject} ({})", reject.reason);
    let first = resolution.unwrap_or(size);
    let image = upright(bytes, &Limits::default()).map_err(refused)?;
    let prepared = match face {
        Some(face) => image.framed(face.clone(), first),
        None => image.square(first),
    };
    prepared.and_then(|prepared| prepared.at(size)).map_err(refused)
}

fn faces(path: Option<&Path>) -> Result<BTreeMap<Digest, FaceFacts>> {
    let Some(path) = path else { return Ok(BTreeMap::new()) };
    let text = std::fs::read(path).with_context(|| format!("cannot read the faces {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("the faces {}", path.display()))
}

/// The files of a folder in the order of their names.
fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    paths.retain(|path| path.is_file() && !hidden(path));
    if paths.is_empty() {
        bail!("{} holds no images", folder.display());
    }
    paths.sort();
    Ok(paths)
}

#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
fn tell(scored: usize, kept: usize, out: &Path) {
    println!("{}  {scored} images scored, {kept} there before", out.display());
}
