//! `worker run` as a process between a real broker and a real bucket; the test speaks for the coordinator.
#![expect(clippy::unwrap_used, reason = "a test may fail on the spot")]

use anyhow::Result;
use artifacts::{Artifacts, S3Config};
use broker::{BrokerConfig, Message, Publisher, Verdict, consume_outcomes, topology};
use domain::edit::{ClipNce, EditSpec, Method};
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::inversion::Inversion;
use domain::{Digest, Reason, StageKey};
use std::path::PathBuf;
use std::time::Duration;
use testkit::{Child, TestBucket, TestVhost, wait_until};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::broker::v1::*;

const SOON: Duration = Duration::from_secs(90);

/// A stack with one worker on it, and the coordinator's place for the test to sit in.
struct Place {
    vhost: TestVhost,
    bucket: TestBucket,
    cache: tempfile::TempDir,
    artifacts: Artifacts,
    publisher: Publisher,
    heard: mpsc::UnboundedReceiver<FromWorker>,
    pack: PackRef,
    _stop: tokio_util::sync::DropGuard,
}

fn demo(path: &str) -> PathBuf {
    testkit::workspace_root().join("deploy/demo").join(path)
}

impl Place {
    async fn new() -> Result<Self> {
        let (vhost, bucket) = (TestVhost::create().await?, TestBucket::create().await?);
        let (name, access, secret) = (TestBucket::NAME, TestBucket::ACCESS_KEY, TestBucket::SECRET_KEY);
        let config = S3Config::new(Some(bucket.endpoint()), TestBucket::REGION, name, access, secret, true);
        let artifacts = Artifacts::connect(&config);
        let pack = packs::Pack::open(demo("pack"))?;
        for file in pack.manifest().files() {
            artifacts.put(std::fs::read(pack.path(&file))?).await?;
        }
        let manifest = artifacts.put(pack.manifest_text().to_owned()).await?;
        let pack = PackRef { name: pack.manifest().name.clone(), digest: pack.digest(), manifest };
        let config = BrokerConfig::new(vhost.url(), "test");
        let (said, heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        tokio::spawn(consume_outcomes(config.clone(), 16, stop.clone(), Default::default(), move |message, _| {
            // Nobody listens any more once the test is over.
            let _ = said.send(message);
            std::future::ready(Verdict::Ack)
        }));
        let (publisher, cache) = (Publisher::start(config), tempfile::tempdir()?);
        Ok(Self { vhost, bucket, cache, artifacts, publisher, heard, pack, _stop: stop.drop_guard() })
    }

    fn worker(&self, more: &[(&'static str, &str)]) -> Result<Child> {
        let mut settings = self.bucket.settings();
        settings.push(("CFX_BROKER_URL", self.vhost.url().to_owned()));
        settings.push(("CFX_CACHE_DIR", self.cache.path().display().to_string()));
        settings.push(("CFX_HEARTBEAT_SECONDS", "1".to_owned()));
        // no coordinator is here that could sign
        settings.push(("CFX_SIGNING", "off".to_owned()));
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Child::spawn("worker", ["run"], settings)
    }

    async fn send(&self, job: i64, work: Work) -> Result<WorkBatch> {
        let batch = WorkBatch {
            output: Default::default(),
            precision: Default::default(),
            submitter: None,
            batch: BatchId::from_uuid(Uuid::now_v7()),
            job: JobId::from_uuid(Uuid::from_u128(job.unsigned_abs().into())),
            project: "test".into(),
            dataset: "faces".into(),
            pack: self.pack.clone(),
            work,
        };
        let queue = topology::work_queue(batch.stage(), "cpu");
        self.publisher.publish(Message::work(queue, serde_json::to_vec(&batch)?, batch.batch.as_uuid())).await?;
        assert!(!batch.fences().is_empty() && batch.fences().iter().all(|f| f.task.job == job));
        Ok(batch)
    }

    async fn say(&self, control: &Control) -> Result<()> {
        Ok(self.publisher.publish(Message::control(serde_json::to_vec(control)?, Uuid::now_v7())).await?)
    }

    /// The next message that `pick` takes; others are passed over.
    async fn hear<T>(&mut self, what: &str, mut pick: impl FnMut(FromWorker) -> Option<T>) -> T {
        let listening = async {
            loop {
                let message = self.heard.recv().await.expect("the worker's voice");
                if let Some(found) = pick(message) {
                    return found;
                }
            }
        };
        timeout(SOON, listening).await.unwrap_or_else(|_| panic!("waited in vain to hear {what}"))
    }

    async fn started(&mut self, wanted: BatchId) -> BootId {
        let pick = |m| match m {
            FromWorker::Started { boot, batch, .. } if batch == wanted => Some(boot),
            _ => None,
        };
        self.hear("Started", pick).await
    }

    async fn outcomes(&mut self, wanted: BatchId) -> Vec<ItemOutcome> {
        let pick = |m| match m {
            FromWorker::Outcomes { batch, items, .. } if batch == wanted => Some(items),
            _ => None,
        };
        self.hear("Outcomes", pick).await
    }

    async fn source(&self, bytes: Vec<u8>) -> Result<SourceRef> {
        Ok(SourceRef { sha256: self.artifacts.put(bytes).await?, uri: "face.png".into(), ordinal: 0 })
    }

    async fn face(&self, no: usize) -> Result<SourceRef> {
        let mut faces: Vec<_> = std::fs::read_dir(demo("faces/source"))?.map(|f| f.unwrap().path()).collect();
        faces.sort();
        self.source(std::fs::read(&faces[no])?).await
    }
}

fn fence(job: i64, no: i32, epoch: i64) -> Fence {
    Fence { task: TaskId { job, no }, epoch }
}

fn key(of: &str) -> StageKey {
    StageKey(Digest::of(of))
}

fn optimising(steps: u32) -> EditSpec {
    EditSpec {
        name: Some("green".into()),
        text: "a face with green hair".into(),
        neutral: "a face".into(),
        method: Method::ClipNce(ClipNce { steps, ..ClipNce::default() }),
        strength_search: None,
        accept: Default::default(),
        only: Default::default(),
    }
}

fn stored(item: &ItemOutcome) -> Digest {
    match &item.outcome {
        Outcome::Stored { artifact, .. } => *artifact,
        other => panic!("not stored: {other:?}"),
    }
}

#[tokio::test]
async fn a_face_is_inverted_and_edited_and_a_poison_image_hurts_nobody() -> Result<()> {
    let mut place = Place::new().await?;
    let mut worker = place.worker(&[])?;
    let (face, poison) = (place.face(0).await?, place.source(b"not an image".to_vec()).await?);
    let absent = SourceRef { sha256: Digest::of("absent"), uri: "absent.png".into(), ordinal: 2 };
    let sources = [face.clone(), poison, absent];
    let items = sources.into_iter().zip(0..).map(|(source, no)| InvertItem {
        fence: fence(1, no, 1),
        key: key(&format!("invert {no}")),
        source,
        checkpoint: None,
        framing: Default::default(),
    });
    let work = Work::Invert { inversion: Inversion::default(), items: items.collect() };
    let batch = place.send(1, work).await?;
    let boot = place.started(batch.batch).await;
    let ends = place.outcomes(batch.batch).await;
    let reasons: Vec<_> = ends[1..]
        .iter()
        .map(|e| if let Outcome::Failed { reason, .. } = e.outcome { Some(reason) } else { None })
        .collect();
    assert_eq!(reasons, [Some(Reason::NotAnImage), Some(Reason::MissingSource)]);
    let latent = stored(&ends[0]);
    let pointer: ResultPointer = place.artifacts.get_result(&key("invert 0").result_key()).await?.unwrap();
    assert_eq!(pointer.outcome, ends[0].outcome);

    let item = EditItem {
        fence: fence(1, 7, 1),
        key: key("edit"),
        source: face,
        latent,
        mask: None,
        strength: 1.0,
        seed: 3,
        checkpoint: None,
    };
    let edit = |epoch| Work::Edit {
        edit: optimising(40),
        inversion: Inversion::default(),
        mapper: None,
        items: vec![EditItem { fence: Fence { epoch, ..item.fence }, ..item.clone() }],
    };
    let batch = place.send(1, edit(1)).await?;
    let ends = place.outcomes(batch.batch).await;
    let Outcome::Edited(edited) = &ends[0].outcome else { panic!("not edited: {:?}", ends[0]) };
    assert_eq!(edited.record.execution.boot, boot);
    assert_eq!(edited.record.links.task, item.fence.task);
    assert_eq!(edited.record.outcome.loss.len(), 40);
    let file = place.artifacts.get(edited.image).await?;
    let (findings, _) = credentials::check_file(&file);
    assert!(findings.iter().all(|f| !f.failed()), "{findings:?}");
    assert_eq!(credentials::extract_record(&file)?.0, *edited.record.clone());
    let json = place.artifacts.get(edited.record_digest).await?;
    assert_eq!(json, domain::canonical_json(&*edited.record)?);
    place.artifacts.get(edited.reconstruction).await?;

    // Handed out again, it finds its own work: the same record, written under the first epoch.
    let again = place.send(1, edit(2)).await?;
    let ends = place.outcomes(again.batch).await;
    assert_eq!((&ends[0].outcome, ends[0].fence.epoch), (&Outcome::Edited(edited.clone()), 2));

    worker.terminate()?;
    place.hear("Goodbye", |m| matches!(m, FromWorker::Goodbye { boot: said } if said == boot).then_some(())).await;
    let ended = wait_until("the worker has ended", SOON, || {
        let ended = worker.ended().unwrap();
        async move { ended }
    });
    assert!(ended.await.success());
    Ok(())
}

#[tokio::test]
async fn a_cancel_stops_running_work_and_a_drain_gives_back_what_is_staged() -> Result<()> {
    let mut place = Place::new().await?;
    let mut worker = place.worker(&[("CFX_GRACE_SECONDS", "1")])?;
    let face = place.face(1).await?;
    let invert = InvertItem {
        fence: fence(1, 0, 1),
        key: key("invert"),
        source: face.clone(),
        framing: Default::default(),
        checkpoint: None,
    };
    let batch = place.send(1, Work::Invert { inversion: Inversion::default(), items: vec![invert] }).await?;
    let latent = stored(&place.outcomes(batch.batch).await[0]);
    let long = |job, no| Work::Edit {
        edit: optimising(5000),
        inversion: Inversion::default(),
        mapper: None,
        items: vec![EditItem {
            fence: fence(job, no, 1),
            key: key(&format!("long {job} {no}")),
            source: face.clone(),
            latent,
            mask: None,
            strength: 1.0,
            seed: 0,
            checkpoint: None,
        }],
    };
    // Job 2 runs, with progress; its cancel stops it at the next step and no outcome is told.
    let cancelled = place.send(2, long(2, 0)).await?;
    place.started(cancelled.batch).await;
    let begun = |task: TaskId| {
        move |m: FromWorker| match m {
            FromWorker::Heartbeat(beat) => {
                beat.running.iter().any(|p| p.fence.task == task && p.done > 0.0).then_some(())
            }
            _ => None,
        }
    };
    place.hear("progress", begun(TaskId { job: 2, no: 0 })).await;
    place.say(&Control::CancelJob { job: 2 }).await?;
    let mut told = Vec::new();
    let idle = |m: FromWorker| match m {
        FromWorker::Heartbeat(beat) => beat.running.is_empty().then_some(()),
        other => {
            told.push(other);
            None
        }
    };
    place.hear("an idle heartbeat", idle).await;
    let stopped = |m: &FromWorker| matches!(m, FromWorker::Stopped { tasks, .. } if tasks[..] == [fence(2, 0, 1)]);
    assert!(told.len() == 1 && stopped(&told[0]), "no outcome, and once that it has left the device: {told:?}");

    // Two batches in hand, the third stays in the queue for another worker.
    let running = place.send(3, long(3, 0)).await?;
    place.started(running.batch).await;
    place.hear("progress", begun(TaskId { job: 3, no: 0 })).await;
    let staged = place.send(3, long(3, 1)).await?;
    place.started(staged.batch).await;
    let left = place.send(3, long(3, 2)).await?;
    worker.terminate()?;
    let mut given_back = Vec::new();
    let until_goodbye = |m: FromWorker| match m {
        FromWorker::Outcomes { items, .. } => {
            given_back.extend(items.into_iter().map(|i| (i.fence.task.no, i.outcome)));
            None
        }
        FromWorker::Started { batch, .. } => {
            assert_ne!(batch, left.batch);
            None
        }
        FromWorker::Goodbye { .. } => Some(()),
        FromWorker::Heartbeat(_) | FromWorker::Stopped { .. } => None,
    };
    place.hear("Goodbye", until_goodbye).await;
    given_back.sort_by_key(|(no, _)| *no);
    let [(0, Outcome::Yielded { checkpoint: Some(at), done }), (1, untouched)] = given_back.as_slice() else {
        panic!("{given_back:?}")
    };
    assert!(*done > 0.0, "what was begun goes on from where it was");
    assert!(place.artifacts.exists(*at).await?);
    assert_eq!(*untouched, Outcome::Yielded { checkpoint: None, done: 0.0 });
    assert_eq!(place.vhost.depth(&topology::work_queue(domain::Stage::Edit, "cpu")).await?, 1);
    let ended = wait_until("the worker has ended", SOON, || {
        let ended = worker.ended().unwrap();
        async move { ended }
    });
    assert!(ended.await.success());
    Ok(())
}

#[tokio::test]
async fn training_goes_on_from_its_checkpoint_in_another_process() -> Result<()> {
    let mut place = Place::new().await?;
    let mut sources = Vec::new();
    for no in 0..6 {
        sources.push(place.face(no).await?.sha256);
    }
    sources.push(place.artifacts.put(b"not an image".as_slice()).await?);
    let set = place.artifacts.put(serde_json::to_vec(&TrainingSet { sources, ..TrainingSet::default() })?).await?;
    let edit: EditSpec = serde_json::from_str(
        r#"{"text":"a face with green hair","method":{"kind":"cf-mapper","steps":12,"batch":2,"views":1}}"#,
    )?;
    let train = |epoch, checkpoint, name: &str| Work::Train {
        edit: edit.clone(),
        item: TrainItem { fence: fence(1, 0, epoch), key: key(name), training_set: set, checkpoint },
    };
    let whole = place.worker(&[])?;
    let batch = place.send(1, train(1, None, "whole")).await?;
    let mapper = stored(&place.outcomes(batch.batch).await[0]);
    drop(whole);

    // Slices of no length take one step each; every other one runs in a process of its own.
    let mut checkpoint = None;
    let mut slices = 0;
    let mut worker = place.worker(&[("CFX_SLICE_SECONDS", "0")])?;
    let sliced = loop {
        slices += 1;
        let batch = place.send(1, train(slices, checkpoint, "sliced")).await?;
        let ends = place.outcomes(batch.batch).await;
        match &ends[0].outcome {
            Outcome::Yielded { checkpoint: at, done } => {
                assert!(at.is_some() && *done > 0.0 && *done < 1.0);
                checkpoint = *at;
            }
            _ => break stored(&ends[0]),
        }
        if slices == 4 {
            worker.kill()?;
            worker = place.worker(&[("CFX_SLICE_SECONDS", "0")])?;
        }
    };
    assert!(slices > 6, "{slices}");
    assert_eq!(sliced, mapper, "a training in slices ends with the bytes of one that was not");
    drop(worker);
    Ok(())
}
