//! Source rasters to W+ latents, with the reconstruction each latent gives.

use super::encode::encode_png;
use super::ended::{Ended, read_checkpoint};
use super::prepare::{Origin, Prepared};
use crate::watch::Watch;
use domain::inversion::Inversion;
use domain::record::{MicroBatch, SourceFacts};
use domain::{Digest, Stage, StageKey};
use editing::batch::{Load, MemoryModel, run_in_parts};
use editing::draw::Painter;
use editing::guidance::Draw;
use editing::invert::quality::quality;
use editing::{EditError, Engine, Stop, invert, latent, raster};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::Tensor;

/// What a latent's file says besides the latent: the note of the safetensors artifact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LatentNote {
    /// The image it was found for. Its `uri` is empty: the latent belongs to the image's bytes, wherever they were registered
    /// from, and equal images must give equal files.
    pub source: SourceFacts,
    /// Digest of the reconstruction's PNG, an artifact of its own.
    pub reconstruction: Digest,
    /// Peak signal-to-noise ratio of the reconstruction against the source's raster, dB; absent where they are equal.
    pub psnr: Option<f64>,
    /// How well the source is drawn, by the names that records use (`reconstruction_mse`, `_psnr`, `_lpips`, `_identity`), and for
    /// changed weights what storing them cost (`delta_bytes`, `delta_rounding_mse`). Files of earlier versions have none.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// Steps taken.
    pub steps: u32,
    /// Where the source's file says it comes from. Files of earlier versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The pass it was found in. Files of earlier versions do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<MicroBatch>,
}

/// One source to invert.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its pixels.
    pub prepared: Prepared,
    /// For the note.
    pub facts: SourceFacts,
    /// Identity of the result, which checkpoints name.
    pub key: StageKey,
    /// Where an earlier slice stopped.
    pub checkpoint: Option<Vec<u8>>,
}

/// An inverted source.
#[derive(Clone, Debug)]
pub struct Inverted {
    /// The latent's file: safetensors, `w_plus [n_latent, w_dim]` and the item's own noise and weights where the method finds any
    /// (see [`editing::latent`]), with a [`LatentNote`].
    pub latent: Vec<u8>,
    /// The reconstruction's file.
    pub reconstruction: Vec<u8>,
}

/// Inverts every source that is still wanted; results are in the order of `sources`.
pub fn compute(
    engine: &Engine,
    memory: &mut MemoryModel,
    inversion: &Inversion,
    sources: &[Source],
    watch: &mut Watch,
) -> Vec<Result<Inverted, Ended>> {
    let load = Load::images(Stage::Invert, engine.resolution());
    let results = run_in_parts(memory, &load, sources.len(), sources.len(), |part| {
        watch.enter(part.clone());
        let wanted: Vec<usize> = part.clone().filter(|&i| watch.wants(i)).collect();
        let rasters: Vec<&[u8]> = wanted.iter().map(|&i| sources[i].prepared.raster.as_slice()).collect();
        if rasters.is_empty() {
            return Ok(part.map(|_| Err(Stop::Cancelled)).collect());
        }
        let images = raster::from_rgb8(&rasters, engine.resolution(), engine.device())?;
        let begun = wanted.iter().map(|&i| &sources[i]);
        let begun = begun.map(|s| s.checkpoint.as_ref().and_then(|c| read_checkpoint(c, s.key, engine.device())));
        let found = invert::invert(engine, inversion, &images, &wanted, &begun.collect::<Vec<_>>(), watch)?;
        let mut ends: Vec<Result<Inverted, Stop>> = part.clone().map(|_| Err(Stop::Cancelled)).collect();
        for (place, (item, end)) in wanted.into_iter().zip(found).enumerate() {
            ends[item - part.start] = match end {
                Ok(end) => {
                    // safe to narrow: numbers of items
                    let pass = MicroBatch { size: images.size()[0] as u32, slot: place as u32 };
                    let image = images.f_narrow(0, place as i64, 1)?;
                    finish(engine, &sources[item], &image, &end, pass).map_err(Stop::Failed)
                }
                Err(stop) => Err(stop),
            };
        }
        Ok(ends)
    });
    results.into_iter().zip(sources).map(|(end, source)| end.map_err(|stop| Ended::of(stop, source.key))).collect()
}

/// The latent's two files. Rendered one by one, so that the reconstruction does not depend on the batch.
fn finish(
    engine: &Engine,
    source: &Source,
    image: &Tensor,
    end: &invert::Inverted,
    pass: MicroBatch,
) -> Result<Inverted, EditError> {
    let painter = Painter::new(engine, vec![Some(&end.own)])?;
    let rendered = tch::no_grad(|| painter.draw(&[0], &end.latent.f_unsqueeze(0)?, None))?;
    let quality = quality(engine, image, &raster::as_published(&rendered)?)?.swap_remove(0);
    let side = source.prepared.resolution;
    let pixels = raster::to_rgb8(&rendered)?.swap_remove(0);
    let reconstruction = encode_png(side, side, &pixels)
        .map_err(|e| EditError::Input { what: format!("the reconstruction cannot be encoded: {e}") })?;
    // Safe to widen: a number of bytes in memory.
    let stored = end.rounding.map(|cost| [("delta_bytes", cost.bytes as f64), ("delta_rounding_mse", cost.mse)]);
    let metrics = quality.metrics().chain(stored.into_iter().flatten());
    let note = LatentNote {
        source: source.facts.clone(),
        reconstruction: Digest::of(&reconstruction),
        psnr: Some(quality.psnr).filter(|db| db.is_finite()),
        metrics: metrics.map(|(name, value)| (name.to_owned(), value)).collect(),
        steps: end.steps,
        origin: Some(source.prepared.origin),
        micro_batch: Some(pass),
    };
    let note = domain::canonical_json(&note).map_err(|e| EditError::Input { what: e.to_string() })?;
    // Safe because canonical JSON is UTF-8.
    let note = String::from_utf8(note).expect("JSON is UTF-8");
    let latent = latent::inversion_to_bytes(&end.latent, &end.own, Some(note))?;
    Ok(Inverted { latent, reconstruction })
}

/// The note of a latent's file.
///
/// # Errors
/// When the file is no latent of ours.
pub fn read_note(latent: &[u8]) -> Result<LatentNote, Ended> {
    let (_, header) = safetensors::SafeTensors::read_metadata(latent).map_err(Ended::internal)?;
    // A tensor file of ours carries one note at most, so its key need not be known here.
    let note = header.metadata().as_ref().and_then(|notes| notes.values().next());
    let note = note.ok_or_else(|| Ended::internal("the latent's file does not say what it is a latent of"))?;
    serde_json::from_str(note).map_err(Ended::internal)
}
