//! The null executor: an item takes a given time and nothing is computed. For measuring and breaking the engine around the GPU
//! (scale, faults), on an installation of its own: what it stores stands under the real stage keys.
//!
//! Everything else is real: the claim, the fence, cancel and drain, the bucket, the record, the outcome. And it says what it is
//! wherever one could take it for work: the worker's device and the record's read `none (null executor, ...)`, every record carries
//! a warning and no metric, and the image is one black pixel. A latent that it stored cannot be read as one, so a real worker
//! that meets it fails the edit instead of making a wrong image.

use super::{Desk, Told, Way, join, split};
use crate::stages::encode::encode_png;
use crate::stages::ended::Ended;
use crate::stages::{fetch, upload};
use artifacts::Artifacts;
use chrono::{DateTime, Utc};
use credentials::embed_record;
use domain::edit::{EditSpec, Selection};
use domain::inversion::Inversion;
use domain::record::{
    Detail, Execution, Links, MicroBatch, NO_WATERMARK, Outcome as Came, RECORD_SCHEMA, Recipe, Record, SourceFacts,
    TextFacts, WrittenRecord,
};
use domain::stage::NUMERICS_VERSION;
use domain::{Digest, Reason, Stage, StageKey, digest_of};
use editing::EditError;
use editing::batch::{Load, MemoryModel, run_in_parts};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use wire::broker::v1::{EditItem, Edited, Fence, Outcome, Work};

/// How often a sleeping item looks whether it is still wanted: as often as an optimiser step would.
const STEP: Duration = Duration::from_millis(10);
/// What every record says.
const WARNING: &str = "nothing was computed: the null executor made this record to measure the engine";

/// What takes the GPU's place. Clones share the one device.
#[derive(Clone, Debug)]
pub struct Null {
    pause: Duration,
    /// Whether the bucket has its part.
    bucket: Bucket,
    /// Items that its memory holds at once; more is an exhausted memory, as a real one reports it.
    room: Option<usize>,
    /// The item at which the device is lost.
    lost_at: Option<u32>,
    /// One item at a time, as on a GPU.
    device: Arc<Mutex<Device>>,
}

#[derive(Debug, Default)]
struct Device {
    begun: u32,
    memory: MemoryModel,
}

/// What becomes of inputs and results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bucket {
    /// As with real work: `sleep:TIME`.
    Used,
    /// Nothing is read, looked for or stored, so that the engine alone is measured: `dry:TIME`. Results then name objects that are
    /// nowhere.
    LeftAlone,
}

/// Not an executor.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "executor '{0}' is not known; leave it out to compute, or give sleep:TIME, for example sleep:50ms or sleep:2s, and after it what \
     goes wrong: sleep:50ms,room:3 (its memory holds three items), sleep:50ms,lost:9 (it is lost at the ninth item); dry:TIME \
     leaves the bucket alone"
)]
pub struct UnknownExecutor(String);

impl FromStr for Null {
    type Err = UnknownExecutor;

    fn from_str(text: &str) -> Result<Self, UnknownExecutor> {
        let unknown = || UnknownExecutor(text.to_owned());
        let mut parts = text.split(',');
        let (bucket, time) = match parts.next().and_then(|time| time.split_once(':')).ok_or_else(unknown)? {
            ("sleep", time) => (Bucket::Used, time),
            ("dry", time) => (Bucket::LeftAlone, time),
            _ => return Err(unknown()),
        };
        let (number, unit) = match (time.strip_suffix("ms"), time.strip_suffix('s')) {
            (Some(number), _) => (number, 1),
            (None, Some(number)) => (number, 1000),
            (None, None) => return Err(unknown()),
        };
        let milliseconds = number.parse::<u32>().map_err(|_| unknown())?;
        let pause = Duration::from_millis(u64::from(milliseconds) * unit);
        let mut null = Self { pause, bucket, room: None, lost_at: None, device: Arc::default() };
        for part in parts {
            let (what, number) = part.split_once(':').ok_or_else(unknown)?;
            let number = number.parse::<NonZeroU16>().map_err(|_| unknown())?;
            match what {
                "room" => null.room = Some(number.get().into()),
                "lost" => null.lost_at = Some(number.get().into()),
                _ => return Err(unknown()),
            }
        }
        Ok(null)
    }
}

impl fmt::Display for Null {
    /// The device's name in heartbeats and records.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = match self.bucket {
            Bucket::Used => "",
            Bucket::LeftAlone => " and stores nothing",
        };
        write!(f, "none (null executor, sleeps {:?} an item{bucket})", self.pause)
    }
}

pub(super) async fn run(desk: Desk<'_>, null: &Null, slot: OwnedSemaphorePermit) -> Vec<Told> {
    let (started_at, items) = (Utc::now(), items(desk));
    let settled = fetch::all(0..items.len(), async |index: usize| {
        let Item { fence, key, edit, .. } = &items[index];
        let object = if edit.is_some() { key.image_key(desk.batch.job, fence.task.no) } else { key.result_key() };
        match null.bucket {
            Bucket::LeftAlone => Way::On(()),
            Bucket::Used => match desk.settled(index, *fence, &object).await {
                Some(told) => Way::Ended(told),
                None => fetch_input(desk, index).await.into(),
            },
        }
    })
    .await;
    let (on, ends) = split(settled);
    let mut computed = Vec::with_capacity(on.len());
    {
        let mut device = null.device.lock().await;
        let parts = null.parts(&mut device.memory, desk.batch.stage(), on.len());
        for ((place, ()), part) in on.into_iter().zip(parts) {
            let began = Instant::now();
            device.begun = device.begun.saturating_add(1);
            let slept = match null.lost_at {
                Some(last) if device.begun >= last => Err(Ended::failed(Reason::DeviceLost, "the null device is lost")),
                _ => null.sleep(desk, place).await,
            };
            desk.line.reporter.add_busy(began.elapsed());
            computed.push((place, part, slept, began.elapsed().as_secs_f64() * 1e3));
        }
    }
    let _finishing = desk.finish(slot).await;
    let stored = fetch::all(computed, async |(place, part, slept, gpu_ms): (usize, usize, Result<(), Ended>, f64)| {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let spot = Spot { null, started_at, gpu_ms, size: narrow(part), slot: narrow(place) };
        let result = match slept {
            Ok(()) => store(desk, &items[place], spot).await,
            Err(ended) => Err(ended),
        };
        (place, Told { result, gpu_ms })
    })
    .await;
    join(ends, stored)
}

/// Reads what a real executor would read, so that the bucket has its part in what is measured.
async fn fetch_input(desk: Desk<'_>, index: usize) -> Result<(), Ended> {
    let artifacts = &desk.line.artifacts;
    match &desk.batch.work {
        Work::Invert { items, .. } => artifacts.get(items[index].source.sha256).await.map(drop).map_err(Ended::from),
        Work::Train { item, .. } => fetch::artifact(artifacts, item.training_set).await.map(drop),
        Work::Edit { items, .. } => fetch::artifact(artifacts, items[index].latent).await.map(drop),
    }
}

impl Null {
    /// For each of `count` items, how many are on the device together with it: all of them where there is room, and otherwise what the
    /// memory model finds by halving, as it does for tensors.
    fn parts(&self, memory: &mut MemoryModel, stage: Stage, count: usize) -> Vec<usize> {
        let Some(room) = self.room else { return vec![count; count] };
        let parts = run_in_parts(memory, &Load::images(stage, 1), count, count, |part| match part.len() {
            size if size > room => Err(exhausted()),
            size => Ok(part.map(|_| Ok(size)).collect()),
        });
        parts.into_iter().map(|size| size.unwrap_or(1)).collect()
    }

    async fn sleep(&self, desk: Desk<'_>, place: usize) -> Result<(), Ended> {
        desk.ready(place)?;
        let task = &desk.tasks[place];
        let began = Instant::now();
        while began.elapsed() < self.pause {
            tokio::time::sleep(STEP.min(self.pause.saturating_sub(began.elapsed()))).await;
            if task.is_cancelled() {
                return Err(Ended::Cancelled);
            }
            if desk.line.drain.is_over() {
                return Err(Ended::Yielded(None));
            }
            task.set_done((began.elapsed().as_secs_f64() / self.pause.as_secs_f64()).min(1.0) as f32);
        }
        Ok(())
    }

    async fn keep(&self, artifacts: &Artifacts, bytes: Vec<u8>) -> Result<Digest, Ended> {
        match self.bucket {
            Bucket::Used => upload::artifact(artifacts, bytes).await,
            Bucket::LeftAlone => Ok(Digest::of(bytes)),
        }
    }

    async fn point(&self, artifacts: &Artifacts, key: StageKey, outcome: Outcome) -> Result<Outcome, Ended> {
        match self.bucket {
            Bucket::Used => upload::pointer(artifacts, key, outcome).await,
            Bucket::LeftAlone => Ok(outcome),
        }
    }
}

/// What libtorch says when memory runs out: it is asked for four petabytes.
fn exhausted() -> EditError {
    match tch::Tensor::f_empty([1 << 50], (tch::Kind::Float, tch::Device::Cpu)) {
        Err(error) => error.into(),
        Ok(_) => EditError::from(tch::TchError::Torch("a machine with four petabytes".to_owned())),
    }
}

/// What is to be stored for an item.
struct Item<'a> {
    fence: Fence,
    key: StageKey,
    edit: Option<Asked<'a>>,
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    item: &'a EditItem,
    edit: &'a EditSpec,
    inversion: &'a Inversion,
    mapper: Option<Digest>,
}

/// When and where in its batch an item was done.
struct Spot<'a> {
    null: &'a Null,
    started_at: DateTime<Utc>,
    gpu_ms: f64,
    size: u32,
    slot: u32,
}

fn items(desk: Desk<'_>) -> Vec<Item<'_>> {
    match &desk.batch.work {
        Work::Invert { items, .. } => {
            items.iter().map(|item| Item { fence: item.fence, key: item.key, edit: None }).collect()
        }
        Work::Train { item, .. } => vec![Item { fence: item.fence, key: item.key, edit: None }],
        Work::Edit { edit, inversion, mapper, items } => {
            let asked = |item| Some(Asked { item, edit, inversion, mapper: *mapper });
            items.iter().map(|item| Item { fence: item.fence, key: item.key, edit: asked(item) }).collect()
        }
    }
}

async fn store(desk: Desk<'_>, item: &Item<'_>, spot: Spot<'_>) -> Result<Outcome, Ended> {
    let artifacts = &desk.line.artifacts;
    let Some(asked) = item.edit else {
        let note = serde_json::json!({ "executor": "null", "stage": desk.batch.stage().name(), "key": item.key });
        let bytes = domain::canonical_json(&note).map_err(Ended::internal)?;
        let artifact = spot.null.keep(artifacts, bytes).await?;
        return spot.null.point(artifacts, item.key, Outcome::Stored { key: item.key, artifact }).await;
    };
    let pixel = [0_u8; 3];
    let png = encode_png(1, 1, &pixel).map_err(Ended::internal)?;
    let record = record(desk, asked, &spot, &pixel, &png)?;
    let file = embed_record(&png, &record, Detail::Full).map_err(Ended::internal)?;
    let record_digest = spot.null.keep(artifacts, record.text().into()).await?;
    let image = spot.null.keep(artifacts, file).await?;
    // nothing was reconstructed: the object that stands for the latent stands for its picture too
    let reconstruction = asked.item.latent;
    let told = Edited { key: item.key, image, reconstruction, record_digest, record };
    spot.null.point(artifacts, item.key, Outcome::Edited(Box::new(told))).await
}

fn record(desk: Desk<'_>, asked: Asked<'_>, spot: &Spot<'_>, pixel: &[u8], png: &[u8]) -> Result<WrittenRecord, Ended> {
    let Asked { item, edit, inversion, mapper } = asked;
    let none = || "none".to_owned();
    let nothing = Digest::of("");
    let recipe = Recipe {
        numerics: NUMERICS_VERSION,
        source: SourceFacts {
            sha256: item.source.sha256,
            raster_sha256: nothing,
            uri: None,
            size: [0, 0],
            format: "unread".to_owned(),
            conversions: Vec::new(),
            face: None,
        },
        pack: desk.batch.pack.digest,
        models: BTreeMap::new(),
        tensors: BTreeMap::new(),
        text: TextFacts {
            target: edit.text.clone(),
            neutral: edit.neutral.clone(),
            templates: 0,
            expanded: nothing,
            tokens: None,
        },
        inversion: inversion.clone(),
        edit: EditSpec { name: None, only: Selection::default(), ..edit.clone() },
        strength: item.strength,
        seed: item.seed,
        rng: none(),
        noise: none(),
        precision: none(),
        determinism: None,
        source_latent: item.latent,
        mapper,
        mask: item.mask,
    };
    let record = Record {
        schema: RECORD_SCHEMA.to_owned(),
        recipe_digest: digest_of(&recipe).map_err(Ended::internal)?,
        recipe,
        execution: Execution {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("CFX_COMMIT").unwrap_or("unknown").to_owned(),
            libtorch: "not used".to_owned(),
            device: spot.null.to_string(),
            threads: 0,
            boot: desk.line.reporter.boot(),
            batch: desk.batch.batch,
            epoch: item.fence.epoch,
            micro_batch: MicroBatch { size: spot.size, slot: spot.slot },
            edit_batch: None,
            inversion_batch: None,
            started_at: spot.started_at,
            finished_at: Utc::now(),
            milliseconds: BTreeMap::from([("sleep".to_owned(), spot.gpu_ms)]),
            build: BTreeMap::new(),
            environment: BTreeMap::new(),
            peak_memory: None,
        },
        outcome: Came {
            raster_sha256: Digest::of(pixel),
            unsigned_sha256: Digest::of(png),
            format: Some("png".to_owned()),
            key: Some(item.key),
            digital_source_type: None,
            watermark: Some(NO_WATERMARK.to_owned()),
            rendered_sha256: None,
            detail: None,
            size: [1, 1],
            latent: item.latent,
            reconstruction: item.latent,
            loss: Vec::new(),
            steps: 0,
            metrics: BTreeMap::new(),
            judged: BTreeMap::new(),
            verdict: None,
            rejected_for: Vec::new(),
            warnings: vec![WARNING.to_owned()],
        },
        links: Links {
            job: desk.batch.job,
            task: item.fence.task,
            project: desk.batch.project.clone(),
            dataset: desk.batch.dataset.clone(),
            source: item.source.ordinal,
            source_uri: Some(item.source.uri.clone()),
            parents: Vec::new(),
            pack: None,
            license: None,
            submitter: desk.batch.submitter.clone(),
        },
    };
    WrittenRecord::new(record).map_err(Ended::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_time_is_read_or_refused_with_an_example() {
        for (text, milliseconds) in [("sleep:50ms", 50), ("sleep:0ms", 0), ("sleep:2s", 2000)] {
            let null = text.parse::<Null>().unwrap();
            assert_eq!((null.pause, null.bucket), (Duration::from_millis(milliseconds), Bucket::Used), "{text}");
        }
        let broken = "sleep:5ms,room:3,lost:9".parse::<Null>().unwrap();
        assert_eq!((broken.room, broken.lost_at), (Some(3), Some(9)));
        for text in ["sleep:5ms,room:0", "sleep:5ms,room", "sleep:5ms,lost:-1", "sleep:5ms,", "sleep:5ms,lose:1"] {
            assert!(text.parse::<Null>().is_err(), "{text}");
        }
        assert_eq!("dry:1ms".parse::<Null>().unwrap().bucket, Bucket::LeftAlone);
        for text in ["", "sleep", "sleep:", "sleep:50", "sleep:-1ms", "sleep:1e9s", "wake:50ms", "dry", "dry:5"] {
            assert!(text.parse::<Null>().unwrap_err().to_string().contains("sleep:50ms"), "{text}");
        }
    }

    #[test]
    fn a_small_memory_is_found_by_halving_and_remembered() {
        let null: Null = "sleep:0ms,room:3".parse().unwrap();
        let mut memory = MemoryModel::default();
        assert_eq!(null.parts(&mut memory, Stage::Edit, 7), [2, 2, 2, 2, 3, 3, 3]);
        assert_eq!(memory.batch(&Load::images(Stage::Edit, 1), 8), 3);
        assert_eq!("sleep:0ms".parse::<Null>().unwrap().parts(&mut memory, Stage::Edit, 3), [3, 3, 3]);
    }
}
