//! The provenance record of one edited image.

use super::edit::Edited;
use super::ended::Ended;
use super::invert::LatentNote;
use crate::engine::LocalPack;
use chrono::{DateTime, Utc};
use domain::edit::{EditSpec, Selection};
use domain::ids::{BatchId, BootId, Epoch};
use domain::inversion::Inversion;
use domain::record::{Execution, Links, Outcome, RECORD_SCHEMA, Recipe, Record, SourceFacts, TextFacts, WrittenRecord};
use domain::stage::NUMERICS_VERSION;
use domain::{Digest, digest_of};
use networks::device::Environment;
use std::collections::BTreeMap;

/// Arithmetic of every stage in this version.
pub const PRECISION: &str = "fp32";

/// Everything that is the same for all items of a batch.
pub struct Context<'a> {
    /// The pack.
    pub pack: &'a LocalPack,
    /// The machine.
    pub environment: &'a Environment,
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
}

/// What is the item's own.
pub struct Item<'a> {
    /// What the latent's file says.
    pub note: &'a LatentNote,
    /// Where this item's source was registered from.
    pub uri: &'a str,
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
    /// Its PNG, without a record.
    pub png: &'a [u8],
    /// The edited latent's artifact.
    pub latent: Digest,
}

/// Writes the record.
///
/// # Errors
/// When a number in it is not finite.
pub fn write(context: &Context<'_>, item: Item<'_>) -> Result<WrittenRecord, Ended> {
    let Edited { raster, side, loss, steps, scores, micro_batch, milliseconds, .. } = item.edited;
    let recipe = Recipe {
        numerics: NUMERICS_VERSION,
        source: SourceFacts { uri: item.uri.to_owned(), ..item.note.source.clone() },
        pack: context.pack.digest,
        models: context.pack.models(),
        text: context.text.clone(),
        inversion: context.inversion.clone(),
        // Neither the edit's name nor its selection decides the result: equal recipes are equal work.
        edit: EditSpec { name: None, only: Selection::default(), ..context.edit.clone() },
        strength: item.strength,
        seed: item.seed,
        rng: editing::rng::GENERATOR.to_owned(),
        noise: noise_policy(context.inversion).to_owned(),
        precision: PRECISION.to_owned(),
        source_latent: item.source_latent,
        mapper: context.mapper,
        mask: item.mask,
    };
    let mut metrics = scores.metrics.clone();
    metrics.extend(item.note.psnr.map(|psnr| ("reconstruction_psnr".to_owned(), psnr)));
    metrics.extend(item.note.metrics.clone());
    let named = ["fetch", "edit", "judge"].into_iter().zip([context.fetch_ms, milliseconds[0], milliseconds[1]]);
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
            started_at: context.started_at,
            finished_at: Utc::now(),
            milliseconds: named.map(|(name, ms)| (name.to_owned(), ms)).collect::<BTreeMap<_, _>>(),
        },
        outcome: Outcome {
            raster_sha256: Digest::of(raster),
            unsigned_sha256: Digest::of(item.png),
            size: [*side, *side],
            latent: item.latent,
            reconstruction: item.note.reconstruction,
            loss: loss.clone(),
            steps: *steps,
            metrics,
            judged: scores.judged.clone(),
            verdict: scores.verdict,
            rejected_for: scores.rejected_for.clone(),
            warnings: Vec::new(),
        },
        links: item.links,
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
