//! A double of the GPU, and of nothing else: it takes batches from the real broker, writes artifacts to the real bucket and says
//! what a worker says. It misbehaves as networks do: says things twice, too late, under old epochs.

use anyhow::Result;
use artifacts::Artifacts;
use broker::{BrokerConfig, Message, Publisher, WorkQueue};
use chrono::Utc;
use coordinator::app::App;
use domain::accept::RejectReason;
use domain::record::{
    Execution, Links, MicroBatch, Outcome as Came, RECORD_SCHEMA, Recipe, Record, SourceFacts, TextFacts, Verdict,
    WrittenRecord,
};
use domain::{BootId, Digest, Reason};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use uuid::Uuid;
use wire::broker::v1::{
    DeviceMemory, EditItem, Edited, Fence, FromWorker, Heartbeat, ItemOutcome, Outcome, Progress, Work, WorkBatch,
};

/// Steps that its records say it took.
pub const STEPS: u32 = 3;

/// How it misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manners {
    /// Says everything once.
    Good,
    /// Says everything twice, speaks of other epochs, fails and yields at first.
    Bad,
    /// Says it started and then nothing but heartbeats, which tell that it is half done.
    Stuck,
}

/// A running double; it stops when this is dropped.
pub struct Worker {
    /// Batches it took.
    pub taken: Arc<AtomicU32>,
    loops: [JoinHandle<()>; 2],
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.loops.iter().for_each(JoinHandle::abort);
    }
}

struct Speaker {
    boot: BootId,
    manners: Manners,
    artifacts: Artifacts,
    publisher: Publisher,
    taken: Arc<AtomicU32>,
    /// What its heartbeats say that it runs.
    held: Arc<Mutex<Vec<Progress>>>,
}

impl Worker {
    /// Starts one of class `cpu`.
    pub fn start(app: &App, manners: Manners) -> Self {
        let settings = BrokerConfig::new(&app.config.broker_url, "worker double");
        let boot = BootId::from_uuid(Uuid::new_v4());
        let taken = Arc::new(AtomicU32::new(0));
        let publisher = Publisher::start(settings.clone());
        let held = Arc::<Mutex<Vec<Progress>>>::default();
        let beating = tokio::spawn(beat(boot, publisher.clone(), Arc::clone(&held)));
        let (artifacts, counted) = (app.artifacts.clone(), Arc::clone(&taken));
        let speaker = Speaker { boot, manners, artifacts, publisher, taken: counted, held };
        let working = tokio::spawn(async move {
            let mut queue = WorkQueue::new(settings, "cpu");
            loop {
                let delivery = queue.next().await;
                speaker.say(&started(boot, &delivery.batch)).await;
                let Ok(batch) = delivery.ack().await else { continue };
                speaker.work(&batch).await.expect("the bucket answers");
            }
        });
        Self { taken, loops: [beating, working] }
    }
}

async fn beat(boot: BootId, publisher: Publisher, held: Arc<Mutex<Vec<Progress>>>) {
    loop {
        let heartbeat = FromWorker::Heartbeat(Heartbeat {
            boot,
            name: "double".into(),
            class: "cpu".into(),
            device: "none".into(),
            version: "0".into(),
            draining: false,
            running: held.lock().expect("no test panics with it").clone(),
            images: 0,
            busy_ms: 0,
            waits_for: None,
            control_queue: None,
            memory_bytes: None,
            // one that takes more than it has is not believed
            device_memory: Some(DeviceMemory { used_bytes: 9 << 30, total_bytes: 8 << 30 }),
        });
        let body = serde_json::to_vec(&heartbeat).expect("a heartbeat has a JSON form");
        // a broker that is away hears the next one
        let _ = publisher.publish(Message::outcome(body)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

fn started(boot: BootId, batch: &WorkBatch) -> FromWorker {
    FromWorker::Started { boot, batch: batch.batch, tasks: batch.fences() }
}

fn other_epoch(fence: Fence, by: i64) -> Fence {
    Fence { epoch: fence.epoch + by, ..fence }
}

impl Speaker {
    async fn say(&self, message: &FromWorker) {
        let body = serde_json::to_vec(message).expect("a message has a JSON form");
        self.publisher.publish(Message::outcome(body)).await.expect("the broker confirms");
    }

    async fn finish(&self, batch: &WorkBatch, items: Vec<ItemOutcome>) {
        self.say(&FromWorker::Outcomes { boot: self.boot, batch: batch.batch, items }).await;
    }

    async fn work(&self, batch: &WorkBatch) -> Result<()> {
        let nth = self.taken.fetch_add(1, Ordering::SeqCst);
        if self.manners == Manners::Stuck {
            let running = batch.fences().into_iter().map(|fence| Progress { fence, done: 0.5 });
            self.held.lock().expect("no test panics with it").extend(running);
            return Ok(());
        }
        let bad = self.manners == Manners::Bad;
        let items = self.outcomes(batch).await?;
        if bad {
            // a zombie's word about the last hand-out and a forger's about the next
            for by in [-1, 1] {
                let stale = items.iter().map(|i| ItemOutcome { fence: other_epoch(i.fence, by), ..i.clone() });
                self.finish(batch, stale.collect()).await;
            }
            let outcome = match (nth, &batch.work) {
                (0, _) => Some(Outcome::Failed { reason: Reason::StorageUnavailable, detail: "as a test".into() }),
                (1, _) => Some(Outcome::Yielded { checkpoint: None, done: 0.0 }),
                _ => None,
            };
            if let Some(outcome) = outcome {
                let failed = items.iter().map(|i| ItemOutcome { outcome: outcome.clone(), ..i.clone() });
                self.finish(batch, failed.collect()).await;
                // and it goes on as if it had not: late now
                self.finish(batch, items).await;
                return Ok(());
            }
            self.say(&started(self.boot, batch)).await;
            self.finish(batch, items.clone()).await;
        }
        self.finish(batch, items).await;
        if bad {
            self.say(&started(self.boot, batch)).await;
        }
        Ok(())
    }

    async fn outcomes(&self, batch: &WorkBatch) -> Result<Vec<ItemOutcome>> {
        let mut items = Vec::new();
        match &batch.work {
            Work::Invert { items: sources, .. } => {
                for item in sources {
                    assert!(self.artifacts.exists(item.source.sha256).await?, "a source is in the bucket");
                    let artifact = self.artifacts.put(format!("latent {}", item.key).into_bytes()).await?;
                    items.push((item.fence, Outcome::Stored { key: item.key, artifact }));
                }
            }
            Work::Train { item, .. } => {
                assert!(self.artifacts.exists(item.training_set).await?, "the training set is in the bucket");
                let artifact = self.artifacts.put(format!("mapper {}", item.key).into_bytes()).await?;
                items.push((item.fence, Outcome::Stored { key: item.key, artifact }));
            }
            Work::Edit { edit, mapper, items: latents, .. } => {
                assert_eq!(mapper.is_some(), edit.method.training().is_some(), "the gate opens with the mapper");
                for item in latents {
                    assert!(self.artifacts.exists(item.latent).await?, "the latent is in the bucket");
                    items.push((item.fence, self.edited(batch, item).await?));
                }
            }
        }
        Ok(items.into_iter().map(|(fence, outcome)| ItemOutcome { fence, gpu_ms: 10.0, outcome }).collect())
    }

    async fn edited(&self, batch: &WorkBatch, item: &EditItem) -> Result<Outcome> {
        let image = self.artifacts.put(format!("image {}", item.key).into_bytes()).await?;
        let reconstruction = self.artifacts.put(format!("reconstruction {}", item.latent).into_bytes()).await?;
        let record = WrittenRecord::new(record(self.boot, batch, item, image, reconstruction))?;
        let record_digest = record.digest();
        let key = item.key;
        Ok(Outcome::Edited(Box::new(Edited { key, image, reconstruction, record_digest, record })))
    }
}

fn record(boot: BootId, batch: &WorkBatch, item: &EditItem, image: Digest, reconstruction: Digest) -> Record {
    let Work::Edit { edit, inversion, mapper, .. } = &batch.work else { unreachable!("only edits have records") };
    Record {
        schema: RECORD_SCHEMA.to_owned(),
        recipe_digest: item.key.0,
        recipe: Recipe {
            numerics: domain::stage::NUMERICS_VERSION,
            source: SourceFacts {
                sha256: item.source.sha256,
                raster_sha256: item.source.sha256,
                uri: None,
                size: [64, 64],
                format: "png".into(),
                conversions: vec![],
                face: None,
            },
            pack: batch.pack.digest,
            models: BTreeMap::new(),
            tensors: BTreeMap::new(),
            text: TextFacts {
                target: edit.text.clone(),
                neutral: edit.neutral.clone(),
                templates: 0,
                expanded: image,
                tokens: None,
            },
            inversion: inversion.clone(),
            edit: edit.clone(),
            strength: item.strength,
            seed: item.seed,
            rng: "none".into(),
            noise: "fixed".into(),
            precision: "fp32".into(),
            determinism: None,
            source_latent: item.latent,
            mapper: *mapper,
            mask: item.mask,
        },
        execution: Execution {
            version: "0".into(),
            commit: "0".into(),
            libtorch: "none".into(),
            device: "none".into(),
            threads: 1,
            boot,
            batch: batch.batch,
            epoch: item.fence.epoch,
            micro_batch: MicroBatch { size: 1, slot: 0 },
            edit_batch: None,
            inversion_batch: None,
            started_at: Utc::now(),
            finished_at: Utc::now(),
            milliseconds: BTreeMap::new(),
            build: BTreeMap::new(),
            environment: BTreeMap::new(),
            peak_memory: None,
        },
        outcome: Came {
            raster_sha256: image,
            unsigned_sha256: image,
            format: Some("png".into()),
            key: None,
            digital_source_type: Some(domain::record::TRAINED_ALGORITHMIC_MEDIA.into()),
            watermark: Some(domain::record::NO_WATERMARK.into()),
            rendered_sha256: None,
            detail: None,
            size: [64, 64],
            latent: item.latent,
            reconstruction,
            loss: vec![],
            steps: STEPS,
            metrics: BTreeMap::from([("target".to_owned(), 0.5)]),
            judged: BTreeMap::new(),
            verdict: Some(if item.source.ordinal % 2 == 0 { Verdict::Accept } else { Verdict::Reject }),
            rejected_for: if item.source.ordinal % 2 == 0 { vec![] } else { vec![RejectReason::TargetMissed] },
            warnings: vec![],
        },
        links: Links {
            job: batch.job,
            task: item.fence.task,
            project: batch.project.clone(),
            dataset: batch.dataset.clone(),
            source: item.source.ordinal,
            source_uri: Some(item.source.uri.clone()),
            parents: Vec::new(),
            pack: None,
            license: None,
            submitter: None,
        },
    }
}
