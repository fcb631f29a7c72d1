//! Jobs from submit to end, through the real database, broker and bucket, with all loops running.

use crate::support::{Bench, job};
use crate::worker::{Manners, STEPS, Worker};
use anyhow::Result;
use axum::http::StatusCode;
use broker::{ControlListener, Message};
use coordinator::app::App;
use coordinator::config;
use domain::accept::RejectReason;
use domain::job_state::JobState;
use domain::{Digest, Stage, TaskId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::broker::v1::Control;
use wire::http::v1::{Dataset, EditResult, Job, Page, Pair, Task};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    soft: CancellationToken,
    served: JoinHandle<Result<()>>,
}

impl Serving {
    pub async fn start(app: &App) -> Result<Self> {
        let soft = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let served = tokio::spawn(app.clone().serve(listener, soft.clone()));
        Ok(Self { address, soft, served })
    }

    pub async fn end(self) -> Result<()> {
        self.soft.cancel();
        self.ended().await
    }

    /// What a coordinator says that cannot serve.
    pub async fn refusal(app: &App) -> Result<String> {
        match Self::start(app).await?.ended().await {
            Ok(()) => anyhow::bail!("it served"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// Waits for an end that comes by itself.
    async fn ended(self) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.served).await??
    }
}

pub async fn submit(bench: &Bench, spec: &Value) -> Result<String> {
    let (status, created) = bench.post("/v1/jobs", spec, &[]).await?;
    anyhow::ensure!(status == StatusCode::CREATED, "{status} {created}");
    Ok(created["id"].as_str().unwrap_or_default().to_owned())
}

pub async fn until(bench: &Bench, id: &str, what: &str, is: impl Fn(&Job) -> bool) -> Job {
    let path = format!("/v1/jobs/{id}");
    let (path, is) = (path.as_str(), &is);
    let ask = || async move { bench.read::<Job>(path).await.ok().filter(|job| is(job)) };
    testkit::wait_until(what, PATIENCE, ask).await
}

async fn all_results(bench: &Bench, id: &str, filter: &str) -> Result<Vec<EditResult>> {
    let mut results = Vec::new();
    let mut after = String::new();
    loop {
        let page: Page<EditResult> = bench.read(&format!("/v1/jobs/{id}/results?limit=7{filter}{after}")).await?;
        results.extend(page.items);
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(results),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_tasks_end_once_each_whatever_workers_say_twice_or_late() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 40).await?;
    bench.dataset("train", 5).await?;
    bench.pack().await?;
    // two coordinators at once, on the same services
    let other = Serving::start(&bench.beside().await?).await?;
    let serving = Serving::start(&bench.app).await?;
    let mut control = ControlListener::new(config::broker(&bench.app.config));
    control.ready().await;
    let _workers = [Worker::start(&bench.app, Manners::Good), Worker::start(&bench.app, Manners::Bad)];
    bench.app.publisher.publish(Message::outcome(b"not a message".to_vec())).await?;

    let id = submit(&bench, &job("first")).await?;
    let done = until(&bench, &id, "the job has succeeded", |job| job.state.is_terminal()).await;
    // 40 inversions, 1 training, 40 sources x 2 edits x 2 strengths
    assert_eq!((done.state, done.total(), done.count(None, "succeeded")), (JobState::Succeeded, 201, 201));
    assert_eq!(done.memoised, 0);
    let results = all_results(&bench, &id, "").await?;
    let tasks: BTreeSet<TaskId> = results.iter().map(|r| r.task).collect();
    assert_eq!((results.len(), tasks.len()), (160, 160));
    assert_eq!(all_results(&bench, &id, "&edit=green&verdict=accepted").await?.len(), 40);
    assert_eq!(all_results(&bench, &id, "&verdict=unjudged").await?.len(), 0);
    let rejected = all_results(&bench, &id, "&edit=blue&reason=target-missed").await?;
    assert_eq!(rejected.len(), 40);
    assert!(rejected.iter().all(|r| r.edit == "blue" && r.rejected_for == [RejectReason::TargetMissed]));
    assert!(all_results(&bench, &id, "&reason=identity-lost").await?.is_empty());
    let green = &done.edits[0];
    assert_eq!((green.edit.as_str(), green.method.as_str(), green.succeeded), ("green", "cf-mapper", 80));
    assert_eq!((green.accepted, green.rejected, green.unjudged, green.accepted_yield), (40, 40, 0, Some(0.5)));
    assert_eq!(green.reasons, [(RejectReason::TargetMissed, 40)].into());
    assert!(bench.app.store.check_verdicts(done.seq).await?.is_empty(), "verdicts match the results");
    assert!(bench.app.store.check_rollups(done.seq).await?.is_empty(), "counts match the tasks (I6)");
    let pairs: Page<Pair> = bench.read(&format!("/v1/jobs/{id}/pairs?limit=7&edit=blue&verdict=rejected")).await?;
    assert!(pairs.items.len() == 7 && pairs.next.is_some());
    for pair in &pairs.items {
        let parity = if pair.result.ordinal % 2 == 0 { "even" } else { "odd" };
        assert_eq!((pair.labels["parity"].as_str(), pair.steps), (parity, Some(STEPS.into())));
        assert!(results.contains(&pair.result), "the same results as the plain list's");
    }
    // every worker's second word was stale, so somebody was told to drop something
    let heard = tokio::time::timeout(PATIENCE, control.next()).await?;
    assert!(matches!(heard, Control::Revoke { boot: Some(_), ref tasks } if !tasks.is_empty()), "{heard:?}");

    // pages of a finished job
    let one = &results[0];
    for (path, words) in [
        (format!("/jobs/{id}/gallery?edit=green&reason=target-missed"), "state reject".to_owned()),
        (format!("/results/{}", one.task), "counterfactory/record/2".to_owned()),
        ("/workers".to_owned(), "double".to_owned()),
        ("/workers".to_owned(), "8.0 / 8.0 GiB".to_owned()),
        (format!("/jobs/{id}"), "100 %".to_owned()),
        (format!("/jobs/{id}"), "<b>50.0 %</b>".to_owned()),
        (format!("/jobs/{id}"), "reason=target-missed".to_owned()),
    ] {
        let (status, _, body) = bench.get(&path).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(text.contains(&words), "{path} lacks '{words}': {text}");
    }

    let workers: Page<wire::http::v1::Worker> = bench.read("/v1/workers").await?;
    let memory = wire::http::v1::DeviceMemory { used_bytes: 8 << 30, total_bytes: 8 << 30 };
    assert!(workers.items.iter().all(|worker| worker.device_memory == Some(memory)), "{workers:?}");

    // the same work again: nothing is inverted or trained a second time
    let again = submit(&bench, &job("second")).await?;
    let done = until(&bench, &again, "the second job has succeeded", |job| job.state.is_terminal()).await;
    assert_eq!((done.state, done.memoised, done.total()), (JobState::Succeeded, 41, 160));
    assert_eq!(done.count(Some(Stage::Invert), "succeeded"), 0);

    // a selection: the first seven of the even ones, at two strengths
    let mut spec = job("third");
    spec["edits"] = json!([{ "name": "blue", "text": "a face with blue skin", "method": { "kind": "clip-nce" },
                             "only": { "having": { "parity": ["even"] }, "limit": 7 } }]);
    let third = submit(&bench, &spec).await?;
    let done = until(&bench, &third, "the third job has succeeded", |job| job.state.is_terminal()).await;
    assert_eq!((done.state, done.memoised, done.total()), (JobState::Succeeded, 7, 14));
    let ordinals: BTreeSet<i64> = all_results(&bench, &third, "").await?.iter().map(|r| r.ordinal).collect();
    assert_eq!(ordinals, BTreeSet::from([0, 2, 4, 6, 8, 10, 12]));

    // the list tells of each job what the job tells of itself, but for its progress
    let listed: Page<Job> = bench.read("/v1/jobs").await?;
    assert_eq!(listed.items.iter().map(|job| job.id.to_string()).collect::<Vec<_>>(), [third, again, id]);
    for one in listed.items {
        let alone: Job = bench.read(&format!("/v1/jobs/{}", one.id)).await?;
        assert!(!one.counts.is_empty() && one.edits.iter().any(|edit| edit.accepted > 0), "{one:?}");
        assert_eq!(one, Job { progress: None, ..alone });
    }
    other.end().await?;
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_and_a_pause_stop_what_is_to_come() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 30).await?;
    bench.dataset("train", 3).await?;
    bench.pack().await?;
    let serving = Serving::start(&bench.app).await?;
    let mut control = ControlListener::new(config::broker(&bench.app.config));
    control.ready().await;

    let paused = submit(&bench, &job("paused")).await?;
    until(&bench, &paused, "its tasks are written", |job| job.state == JobState::Active).await;
    let (status, answer) = bench.post(&format!("/v1/jobs/{paused}/pause"), &json!({}), &[]).await?;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("paused")));
    let stuck = Worker::start(&bench.app, Manners::Stuck);
    let cancelled = submit(&bench, &job("cancelled")).await?;
    let running = |job: &Job| job.count(None, "running") > 0;
    // the paused job wrote its inversions first, so the other waits for them: only its own training and the like could run
    let job = until(&bench, &cancelled, "its tasks are written", |job| job.state == JobState::Active).await;
    assert_eq!(job.memoised, 31);
    bench.post(&format!("/v1/jobs/{paused}/resume"), &json!({}), &[]).await?;
    until(&bench, &paused, "something runs", running).await;
    assert!(stuck.taken.load(Ordering::SeqCst) > 0);

    for (id, seq) in [(&paused, 1), (&cancelled, 2)] {
        let (status, _) = bench.post(&format!("/v1/jobs/{id}/cancel"), &json!({}), &[]).await?;
        assert_eq!(status, StatusCode::OK);
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Control::CancelJob { job } = control.next().await {
                    return job;
                }
            }
        });
        assert_eq!(heard.await?, seq);
        let all = |job: &Job| job.count(None, "cancelled") == job.total();
        let job = until(&bench, id, "all its tasks are cancelled", all).await;
        assert_eq!(job.state, JobState::Cancelled);
        // repeated: no error
        let (status, _) = bench.post(&format!("/v1/jobs/{id}/cancel"), &json!({}), &[]).await?;
        assert_eq!(status, StatusCode::OK);
        let (status, answer) = bench.post(&format!("/v1/jobs/{id}/resume"), &json!({}), &[]).await?;
        assert_eq!((status, &answer["code"]), (StatusCode::CONFLICT, &json!("not_now")));
    }
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_worker_held_is_done_by_another() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 20).await?;
    bench.dataset("train", 3).await?;
    bench.pack().await?;
    let serving = Serving::start(&bench.app).await?;
    let stuck = Worker::start(&bench.app, Manners::Stuck);
    let id = submit(&bench, &job("orphaned")).await?;
    until(&bench, &id, "a worker runs something", |job| job.count(None, "running") > 0).await;
    // no heartbeat any more: as if it had been killed
    drop(stuck);
    let _worker = Worker::start(&bench.app, Manners::Good);
    let done = until(&bench, &id, "the job has succeeded", |job| job.state.is_terminal()).await;
    assert_eq!((done.state, done.count(None, "succeeded")), (JobState::Succeeded, 101));
    assert_eq!(all_results(&bench, &id, "").await?.len(), 80);
    let lost: Page<Task> = bench.read(&format!("/v1/jobs/{id}/tasks?limit=1000")).await?;
    assert!(lost.items.iter().any(|task| task.losses > 0 && task.epoch > 1), "somebody lost something");
    assert!(bench.app.store.check_rollups(done.seq).await?.is_empty());
    let (_, retried) = bench.post(&format!("/v1/jobs/{id}/retry"), &json!({}), &[]).await?;
    assert_eq!(retried["code"], "not_now", "nothing is dead in a job that succeeded");
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_of_the_bucket_becomes_a_dataset() -> Result<()> {
    let bench = Bench::new().await?;
    let serving = Serving::start(&bench.app).await?;
    for index in 0..25 {
        bench.app.artifacts.put(format!("import {}", index % 20).into_bytes()).await?;
    }
    let uri = format!("s3://{}/cas/sha256/", testkit::TestBucket::NAME);
    let (status, _) = bench.post("/v1/datasets", &json!({ "name": "imported", "import": uri }), &[]).await?;
    assert_eq!(status, StatusCode::CREATED);
    let bench = &bench;
    let ended = || async move { bench.read::<Dataset>("/v1/datasets/imported").await.ok().filter(|d| !d.importing) };
    let dataset = testkit::wait_until("the import has ended", PATIENCE, ended).await;
    assert_eq!((dataset.sources, dataset.import_errors.len()), (20, 0));

    bench.post("/v1/datasets", &json!({ "name": "nowhere", "import": "s3://no-such-bucket/x" }), &[]).await?;
    let ended = || async move { bench.read::<Dataset>("/v1/datasets/nowhere").await.ok().filter(|d| !d.importing) };
    let dataset = testkit::wait_until("the import was given up", PATIENCE, ended).await;
    assert!(dataset.import_errors[0].contains("no-such-bucket"), "{:?}", dataset.import_errors);
    assert!(bench.app.artifacts.exists(Digest::of("import 3")).await?);
    serving.end().await
}
