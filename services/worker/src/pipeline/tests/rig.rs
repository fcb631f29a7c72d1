//! A worker's line over a bucket and a vhost of its own, with the demo pack registered.

use crate::cache::PackCache;
use crate::config::device_settings;
use crate::device_memory;
use crate::drain::Drain;
use crate::gpu::Gpu;
use crate::held::Held;
use crate::pipeline::{self, Line};
use crate::report::{Identity, Reporter};
use crate::settle::Taken;
use crate::signing::Signing;
use crate::stages::watermark::Watermarker;
use artifacts::{Artifacts, S3Config};
use broker::{BrokerConfig, Publisher, Verdict, consume_outcomes};
use chrono::Utc;
use credentials::{Authority, Issuer, LocalKey};
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::{Digest, Precision};
use networks::device::DeviceChoice;
use packs::Pack;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{TestBucket, TestVhost, workspace_root};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;
use wire::broker::v1::{Fence, FromWorker, ItemOutcome, PackRef, Work, WorkBatch};

/// Sequence number of the one job of a rig.
const JOB: i64 = 41;

pub struct Rig {
    pub line: Arc<Line>,
    pub bucket: TestBucket,
    pub pack: PackRef,
    outcomes: mpsc::UnboundedReceiver<(BatchId, Vec<ItemOutcome>)>,
    _listening: DropGuard,
    _vhost: TestVhost,
    _cache: TempDir,
}

pub fn fence(no: i32, epoch: i64) -> Fence {
    Fence { task: TaskId { job: JOB, no }, epoch }
}

/// A file of the demo.
pub fn demo(path: &str) -> Vec<u8> {
    let path = workspace_root().join("deploy/demo").join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Signs with a key made for the purpose.
fn issuer() -> Issuer {
    let issued = Authority::create(Utc::now()).and_then(|authority| authority.issue(Utc::now())).expect("a key");
    Issuer::new(Arc::new(LocalKey::new(&issued.private_key, &issued.chain).expect("a key"))).expect("an issuer")
}

impl Rig {
    pub async fn new(slice: Duration) -> Self {
        let bucket = TestBucket::create().await.expect("a bucket");
        let vhost = TestVhost::create().await.expect("a vhost");
        let s3 = S3Config::new(
            Some(bucket.endpoint()),
            TestBucket::REGION,
            TestBucket::NAME,
            TestBucket::ACCESS_KEY,
            TestBucket::SECRET_KEY,
            true,
        );
        let artifacts = Artifacts::connect(&s3);
        let cache = TempDir::new().expect("a folder");
        let gpu =
            Gpu::start(device_settings(Some("cpu"), Some(1), None).expect("settings"), 2).expect("a tensor thread");
        let boot = BootId::from_uuid(Uuid::new_v4());
        let identity = Identity { boot, name: "test".into(), class: "cpu".into(), device: "cpu".into() };
        let line = Line {
            gpu,
            null: None,
            packs: PackCache::new(cache.path().to_owned(), u64::MAX, 2, artifacts.clone()),
            artifacts,
            reporter: Reporter::new(
                Publisher::start(BrokerConfig::new(vhost.url(), "worker")),
                identity,
                device_memory::Watched::of(DeviceChoice::Cpu, Duration::from_secs(10)),
            ),
            signing: Signing::Key(issuer()),
            watermarker: Watermarker::None,
            held: Arc::new(Held::default()),
            drain: Drain::default(),
            slice,
            finishing: Line::finishing(),
        };
        let (heard, outcomes) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let listening = consume_outcomes(
            BrokerConfig::new(vhost.url(), "test"),
            8,
            stop.clone(),
            Default::default(),
            move |message, _| {
                if let FromWorker::Outcomes { batch, items, .. } = message {
                    // The test has ended if nobody listens.
                    let _ = heard.send((batch, items));
                }
                async { Verdict::Ack }
            },
        );
        tokio::spawn(listening);
        let pack = register(&line.artifacts, None).await;
        let (line, _listening) = (Arc::new(line), stop.drop_guard());
        Self { line, bucket, pack, outcomes, _listening, _vhost: vhost, _cache: cache }
    }

    pub async fn put(&self, bytes: Vec<u8>) -> Digest {
        self.line.artifacts.put(bytes).await.expect("stored")
    }

    pub async fn put_demo(&self, path: &str) -> Digest {
        self.put(demo(path)).await
    }

    pub async fn get(&self, digest: Digest) -> Vec<u8> {
        self.line.artifacts.get(digest).await.unwrap_or_else(|e| panic!("{e}")).into()
    }

    /// The demo pack under another name, with one file damaged in the bucket.
    pub async fn spoil_pack(&self, file: &str) -> PackRef {
        let spoilt = register(&self.line.artifacts, Some("spoilt")).await;
        let pack = Pack::open(workspace_root().join("deploy/demo/pack")).expect("the demo pack");
        let digest = pack.manifest().files().iter().find(|f| f.file == file).expect("a file").sha256;
        std::fs::write(self.bucket.object_path(&digest.cas_key()), b"not what it was").expect("an object");
        // What this machine has of it already must not help.
        for entry in std::fs::read_dir(self._cache.path()).expect("the cache").flatten() {
            if entry.file_name().to_string_lossy().contains(&digest.to_string()) {
                std::fs::remove_file(entry.path()).expect("a cached file");
            }
        }
        spoilt
    }

    pub fn set_slice(&mut self, slice: Duration) {
        Arc::get_mut(&mut self.line).expect("no batch is running").slice = slice;
    }

    /// Runs a batch on the demo pack and returns what the broker was told.
    pub async fn run(&mut self, work: Work) -> Vec<ItemOutcome> {
        self.run_on(self.pack.clone(), work).await
    }

    /// Runs a batch on a pack and returns what the broker was told.
    pub async fn run_on(&mut self, pack: PackRef, work: Work) -> Vec<ItemOutcome> {
        self.told(batch(pack, work)).await
    }

    /// Runs a batch of a job in `precision` and returns what the broker was told.
    pub async fn run_in(&mut self, precision: Precision, work: Work) -> Vec<ItemOutcome> {
        self.told(WorkBatch { precision, ..batch(self.pack.clone(), work) }).await
    }

    async fn told(&mut self, batch: WorkBatch) -> Vec<ItemOutcome> {
        let id = batch.batch;
        self.start_batch(batch).await.expect("the batch ends");
        let (told_of, items) = tokio::time::timeout(Duration::from_secs(20), self.outcomes.recv())
            .await
            .expect("outcomes are told")
            .expect("the listener lives");
        assert_eq!(told_of, id, "outcomes of another batch");
        items
    }

    /// Starts a batch on the demo pack.
    pub fn start(&self, work: Work) -> JoinHandle<()> {
        self.start_batch(batch(self.pack.clone(), work))
    }

    fn start_batch(&self, batch: WorkBatch) -> JoinHandle<()> {
        let holding = self.line.held.enter(&batch).expect("a batch of its own");
        let line = Arc::clone(&self.line);
        tokio::spawn(async move {
            let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("a slot");
            pipeline::run(line, Taken { batch, holding, trace: None }, slot).await;
        })
    }
}

fn batch(pack: PackRef, work: Work) -> WorkBatch {
    WorkBatch {
        output: Default::default(),
        precision: Default::default(),
        submitter: None,
        batch: BatchId::from_uuid(Uuid::new_v4()),
        job: JobId::from_uuid(Uuid::nil()),
        project: "tests".into(),
        dataset: "faces".into(),
        pack,
        work,
    }
}

/// Puts the demo pack's files and manifest into the bucket; another version makes it another pack of the same files.
async fn register(artifacts: &Artifacts, version: Option<&str>) -> PackRef {
    let pack = Pack::open(workspace_root().join("deploy/demo/pack")).expect("the demo pack");
    for file in pack.manifest().files() {
        artifacts.put(std::fs::read(pack.path(&file)).expect("a file of the pack")).await.expect("stored");
    }
    let mut text = pack.manifest_text().to_owned();
    if let Some(version) = version {
        let line = format!("version = \"{}\"", pack.manifest().version);
        text = text.replacen(&line, &format!("version = \"{version}\""), 1);
    }
    let digest = packs::Manifest::from_toml(&text).expect("a manifest").digest();
    let manifest = artifacts.put(text.into_bytes()).await.expect("stored");
    PackRef { name: "facesjs-64".into(), digest, manifest }
}
