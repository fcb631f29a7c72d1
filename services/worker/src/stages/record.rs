//! The provenance record of one edited image.

use super::edit::Edited;
use super::encode::encode;
use super::ended::Ended;
use super::invert::LatentNote;
use super::timed;
use super::watermark::Watermarker;
use crate::engine::LocalPack;
use crate::memory;
use chrono::{DateTime, Utc};
use credentials::{raster_digest, strip_record};
use domain::edit::{EditSpec, Selection};
use domain::ids::{BatchId, BootId, Epoch};
use domain::inversion::Inversion;
use domain::record::{
    Determinism, Execution, Links, Outcome, RECORD_SCHEMA, Recipe, Record, SourceFacts, TRAINED_ALGORITHMIC_MEDIA,
    TextFacts, WrittenRecord,
};
use domain::stage::NUMERICS_VERSION;
use domain::{Digest, Output, OutputFormat, Precision, StageKey, digest_of};
use networks::device::Environment;
use std::collections::BTreeMap;

/// Everything that is the same for all items of a batch.
pub struct Context<'a> {
    /// The pack.
    pub pack: &'a LocalPack,
    /// What is in its files, by role.
    pub tensors: &'a BTreeMap<String, Digest>,
    /// The machine.
    pub environment: &'a Environment,
    /// What the networks compute in.
    pub precision: Precision,
    /// The texts as the text encoder saw them.
    pub text: &'a TextFacts,
    /// How the latents were found.
    pub inversion: &'a Inversion,
    /// The edit.
    pub edit: &'a EditSpec,
    /// The mapper's artifact.
    pub mapper: Option<Digest>,
    /// This process.
    pub boot: BootId,
    /// The hand-out.
    pub batch: BatchId,
    /// When the batch was taken.
    pub started_at: DateTime<Utc>,
    /// Milliseconds of downloading and decoding, an item's share.
    pub fetch_ms: f64,
    /// How images are written, and what of the record leaves with them.
    pub output: &'a Output,
    /// What puts a watermark into them.
    pub watermarker: &'a Watermarker,
}

impl Context<'_> {
    /// The file of an edited image, and what was done to its pixels on the way.
    ///
    /// # Errors
    /// When the watermark is not put in or the image cannot be written.
    pub async fn draw(&self, edited: &Edited) -> Result<Drawn, Ended> {
        let marked = self.watermarker.mark(edited.side, &edited.raster).await?;
        let raster = marked.as_ref().unwrap_or(&edited.raster);
        let file = timed("encode", || encode(edited.side, raster, self.output)).map_err(Ended::internal)?;
        let raster_sha256 = match self.output.format {
            OutputFormat::Jpeg => raster_digest(&file).map_err(Ended::internal)?,
            OutputFormat::Png | OutputFormat::Webp => Digest::of(raster),
        };
        // The digest that a verifier will get, whatever form a format's parts come out in.
        let unsigned_sha256 = Digest::of(strip_record(&file).map_err(Ended::internal)?);
        Ok(Drawn { file, raster_sha256, unsigned_sha256 })
    }
}

/// A file of an edited image, without record and credential.
pub struct Drawn {
    /// Its bytes.
    pub file: Vec<u8>,
    /// SHA-256 of the RGB8 raster that a decoder gives.
    pub raster_sha256: Digest,
    /// SHA-256 of the file.
    pub unsigned_sha256: Digest,
}

/// What is the item's own.
pub struct Item<'a> {
    /// What the latent's file says.
    pub note: &'a LatentNote,
    /// The latent's artifact.
    pub source_latent: Digest,
    /// SHA-256 of the mask's file, for edits confined to one.
    pub mask: Option<Digest>,
    /// Factor on the latent's change.
    pub strength: f64,
    /// The job's seed.
    pub seed: u64,
    /// The fence.
    pub epoch: Epoch,
    /// What it belongs to.
    pub links: Links,
    /// The edited image.
    pub edited: &'a Edited,
    /// Its file, without a record.
    pub drawn: &'a Drawn,
    /// Identity of the result, where it has one.
    pub key: Option<StageKey>,
    /// The edited latent's artifact.
    pub latent: Digest,
}

/// Writes the record.
///
/// # Errors
/// When a number in it is not finite.
pub fn write(context: &Context<'_>, item: Item<'_>) -> Result<WrittenRecord, Ended> {
    let Edited { raster, side, loss, steps, scores, micro_batch, edit_batch, milliseconds, .. } = item.edited;
    let recipe = Recipe {
        numerics: NUMERICS_VERSION,
        source: SourceFacts { uri: None, ..item.note.source.clone() },
        pack: context.pack.digest,
        models: context.pack.models(),
        tensors: context.tensors.clone(),
        text: context.text.clone(),
        inversion: context.inversion.clone(),
        // Neither the edit's name nor its selection decides the result: equal recipes are equal work.
        edit: EditSpec { name: None, only: Selection::default(), ..context.edit.clone() },
        strength: item.strength,
        seed: item.seed,
        rng: editing::rng::GENERATOR.to_owned(),
        noise: noise_policy(context.inversion).to_owned(),
        precision: context.precision.to_string(),
        determinism: Some(if context.environment.deterministic { Determinism::Exact } else { Determinism::BestEffort }),
        source_latent: item.source_latent,
        mapper: context.mapper,
        mask: item.mask,
    };
    let mut metrics = scores.metrics.clone();
    metrics.extend(item.note.psnr.map(|psnr| ("reconstruction_psnr".to_owned(), psnr)));
    metrics.extend(item.note.metrics.clone());
    let named = ["fetch", "edit", "judge"].into_iter().zip([context.fetch_ms, milliseconds[0], milliseconds[1]]);
    let rendered = Digest::of(raster);
    let manifest = &context.pack.manifest;
    let record = Record {
        schema: RECORD_SCHEMA.to_owned(),
        recipe_digest: digest_of(&recipe).map_err(Ended::internal)?,
        recipe,
        execution: Execution {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("CFX_COMMIT").unwrap_or("unknown").to_owned(),
            libtorch: context.environment.libtorch.clone(),
            device: device_name(context.environment),
            threads: u32::try_from(context.environment.threads).unwrap_or(0),
            boot: context.boot,
            batch: context.batch,
            epoch: item.epoch,
            micro_batch: *micro_batch,
            edit_batch: Some(*edit_batch),
            inversion_batch: item.note.micro_batch,
            started_at: context.started_at,
            finished_at: Utc::now(),
            milliseconds: named.map(|(name, ms)| (name.to_owned(), ms)).collect::<BTreeMap<_, _>>(),
            build: build(),
            environment: surroundings(context.environment),
            peak_memory: memory::of_process().peak,
        },
        outcome: Outcome {
            raster_sha256: item.drawn.raster_sha256,
            unsigned_sha256: item.drawn.unsigned_sha256,
            format: Some(context.output.format.name().to_owned()),
            key: item.key,
            // Edits inside a region are laid over the reconstruction, never over the photograph: every pixel is the generator's.
            digital_source_type: Some(TRAINED_ALGORITHMIC_MEDIA.to_owned()),
            watermark: Some(context.watermarker.name().to_owned()),
            rendered_sha256: Some(rendered).filter(|rendered| *rendered != item.drawn.raster_sha256),
            detail: Some(context.output.detail),
            size: [*side, *side],
            latent: item.latent,
            reconstruction: item.note.reconstruction,
            loss: loss.clone(),
            steps: *steps,
            metrics,
            judged: scores.judged.clone(),
            verdict: scores.verdict,
            rejected_for: scores.rejected_for.clone(),
            warnings: scores.warnings.clone(),
        },
        links: Links {
            parents: item.note.origin.and_then(|origin| origin.parent).into_iter().collect(),
            pack: Some(format!("{} {}", manifest.name, manifest.version)),
            license: Some(manifest.license.clone()).filter(|license| !license.is_empty()),
            ..item.links
        },
    };
    WrittenRecord::new(record).map_err(Ended::internal)
}

/// Where the generator's noise comes from: its file, or the inversion, which keeps it in the latent's file.
const fn noise_policy(inversion: &Inversion) -> &'static str {
    match inversion {
        Inversion::Optimise(projection) if projection.optimise_noise => "optimised",
        _ => "fixed",
    }
}

/// What this program was built from.
pub fn build() -> BTreeMap<String, String> {
    let known = [
        ("rustc", option_env!("CFX_RUSTC").map(str::to_owned)),
        ("cargo_lock", option_env!("CFX_LOCKFILE_SHA256").map(str::to_owned)),
        // Set where an image is built or started: a process does not know the image it runs in.
        ("image", std::env::var("CFX_IMAGE_DIGEST").ok().filter(|digest| !digest.is_empty())),
    ];
    known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// What results can depend on besides what has a field of its own.
pub fn surroundings(environment: &Environment) -> BTreeMap<String, String> {
    let named = [
        ("driver", environment.driver.clone()),
        ("cuda", environment.cuda.clone()),
        ("compute_capability", environment.compute_capability.clone()),
        ("mig", environment.mig.clone()),
        ("cudnn", environment.cudnn.map(|version| version.to_string())),
        ("convolutions", environment.convolutions.clone()),
        ("products", environment.products.clone()),
        ("processor", environment.device_name.clone().filter(|_| environment.device == "cpu")),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    named.chain(environment.variables.clone()).collect()
}

/// The device with its own name and driver, for people: `cuda:0 NVIDIA H100 (driver 570.1)`.
pub fn device_name(environment: &Environment) -> String {
    let mut name = environment.device.clone();
    if let Some(model) = &environment.device_name {
        name = format!("{name} {model}");
    }
    if let Some(driver) = &environment.driver {
        name = format!("{name} (driver {driver})");
    }
    name
}
