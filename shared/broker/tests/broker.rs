//! The promises of the broker crate, on a real RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a test may fail on the spot")]

use anyhow::Result;
use broker::{
    BrokerConfig, ControlListener, Message, PublishError, Publisher, Verdict, WorkQueue, consume_outcomes, topology,
};
use domain::edit::EditSpec;
use domain::ids::{BatchId, BootId, JobId, TaskId};
use domain::inversion::Inversion;
use domain::{Digest, Stage, StageKey};
use std::time::Duration;
use testkit::{Fault, FaultProxy, TestBroker, TestVhost, wait_until};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::broker::v1::{Control, Fence, FromWorker, InvertItem, PackRef, SourceRef, Work, WorkBatch};

const SOON: Duration = Duration::from_secs(20);

fn config(url: &str) -> BrokerConfig {
    let mut config = BrokerConfig::new(url, "test");
    config.confirm_timeout = Duration::from_secs(8);
    config
}

fn batch(no: i32) -> WorkBatch {
    let digest = Digest::of(no.to_be_bytes());
    let item = InvertItem {
        fence: Fence { task: TaskId { job: 1, no }, epoch: 1 },
        key: StageKey(digest),
        source: SourceRef { sha256: digest, uri: format!("face-{no}.png"), ordinal: i64::from(no) },
        checkpoint: None,
        framing: Default::default(),
    };
    WorkBatch {
        output: Default::default(),
        precision: Default::default(),
        submitter: None,
        batch: BatchId::from_uuid(Uuid::now_v7()),
        job: JobId::from_uuid(Uuid::nil()),
        project: "p".into(),
        dataset: "d".into(),
        pack: PackRef { name: "demo".into(), digest, manifest: digest },
        work: Work::Invert { inversion: Inversion::default(), items: vec![item] },
    }
}

fn work(batch: &WorkBatch) -> Message {
    let queue = topology::work_queue(batch.stage(), "cpu");
    Message::work(queue, serde_json::to_vec(batch).unwrap(), batch.batch.as_uuid())
}

fn goodbye(n: u128) -> FromWorker {
    FromWorker::Goodbye { boot: BootId::from_uuid(Uuid::from_u128(n)) }
}

fn outcome(n: u128) -> Message {
    Message::outcome(serde_json::to_vec(&goodbye(n)).unwrap())
}

/// A coordinator's ear that passes on what it hears until it is stopped.
fn listen(url: &str) -> (mpsc::UnboundedReceiver<(FromWorker, Option<String>)>, CancellationToken) {
    let (heard, receiver) = mpsc::unbounded_channel();
    let (config, stop) = (config(url), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        consume_outcomes(config, 16, stopped, Default::default(), |message, trace| {
            heard.send((message, trace)).unwrap();
            std::future::ready(Verdict::Ack)
        })
        .await;
    });
    (receiver, stop)
}

#[tokio::test]
async fn a_batch_reaches_a_worker_once_it_is_confirmed() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let sent: Vec<WorkBatch> = (0..100).map(batch).collect();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
    let messages = sent.iter().map(|b| work(b).traced(Some(trace.clone()))).collect();
    for result in publisher.publish_many(messages).await {
        result?;
    }
    assert_eq!(vhost.depth(&topology::work_queue(Stage::Invert, "cpu")).await?, 100);
    let mut queue = WorkQueue::new(config(vhost.url()), "cpu");
    for expected in &sent {
        let delivery = timeout(SOON, queue.next()).await?;
        assert_eq!(delivery.traceparent.as_deref(), Some(trace.as_str()));
        assert_eq!(delivery.ack().await?, *expected);
    }
    assert!(timeout(Duration::from_millis(700), queue.next()).await.is_err(), "the queue is empty");
    Ok(())
}

#[tokio::test]
async fn a_message_without_a_queue_fails_and_its_neighbours_do_not() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let mut messages: Vec<Message> = (0..40).map(|n| work(&batch(n))).collect();
    for message in messages.iter_mut().skip(3).step_by(7) {
        // The default exchange routes by queue name, and there is none of this name.
        message.exchange = String::new();
        message.routing_key = "cfx.nobody".to_owned();
    }
    let results = publisher.publish_many(messages).await;
    for (index, result) in results.iter().enumerate() {
        if index >= 3 && (index - 3) % 7 == 0 {
            assert!(matches!(result, Err(PublishError::Unroutable { .. })), "{index}: {result:?}");
        } else {
            assert!(result.is_ok(), "{index}: {result:?}");
        }
    }
    assert_eq!(vhost.depth(&topology::work_queue(Stage::Invert, "cpu")).await?, 34);
    Ok(())
}

#[tokio::test]
async fn an_unacknowledged_batch_comes_again_when_its_worker_is_lost() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    publisher.publish(work(&batch(7))).await?;
    let mut lost = WorkQueue::new(config(vhost.url()), "cpu");
    let delivery = timeout(SOON, lost.next()).await?;
    drop(lost);
    assert!(delivery.ack().await.is_err(), "an acknowledgement on a lost connection must not pass for one");
    let mut other = WorkQueue::new(config(vhost.url()), "cpu");
    assert_eq!(timeout(SOON, other.next()).await?.ack().await?.fences()[0].task.no, 7);
    Ok(())
}

#[tokio::test]
async fn a_get_that_is_given_up_loses_no_batch() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let mut queue = WorkQueue::new(config(vhost.url()), "cpu");
    for no in 0..20 {
        publisher.publish(work(&batch(no))).await?;
    }
    let mut seen = Vec::new();
    let mut patience = Duration::from_micros(100);
    while seen.len() < 20 {
        // Growing slices cut the call at every point of its life.
        match timeout(patience, queue.next()).await {
            Ok(delivery) => seen.push(delivery.ack().await?.fences()[0].task.no),
            Err(_) => patience = (patience * 3 / 2).min(Duration::from_secs(5)),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn every_worker_hears_a_control_message_and_none_is_needed() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let control = Control::CancelJob { job: 12 };
    let message = || Message::control(serde_json::to_vec(&control).unwrap(), Uuid::now_v7());
    publisher.publish(message()).await?;
    let mut listeners = [ControlListener::new(config(vhost.url())), ControlListener::new(config(vhost.url()))];
    for listener in &mut listeners {
        listener.ready().await;
    }
    publisher.publish(message()).await?;
    for listener in &mut listeners {
        assert_eq!(timeout(SOON, listener.next()).await?, control);
    }
    Ok(())
}

#[tokio::test]
async fn a_workers_queue_is_there_for_as_long_as_its_connection() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let mut listener = ControlListener::new(config(vhost.url()));
    let mut queue = listener.queue();
    assert_eq!(*queue.borrow(), None);
    listener.ready().await;
    let name = timeout(SOON, queue.wait_for(Option::is_some)).await??.clone().unwrap();
    assert!(topology::is_control_queue(&name), "{name}");
    let probe = || Message::to_worker(name.clone(), serde_json::to_vec(&Control::Probe).unwrap());
    publisher.publish(probe()).await?;
    assert_eq!(timeout(SOON, listener.next()).await?, Control::Probe);
    drop(listener);
    wait_until("the queue is gone", SOON, || async {
        matches!(publisher.publish(probe()).await, Err(PublishError::Unroutable { .. })).then_some(())
    })
    .await;
    for other in [topology::OUTCOMES, topology::CONTROL, "cfx.control.", "cfx.control.x", "amq.gen-abc"] {
        assert!(!topology::is_control_queue(other), "{other}");
    }
    Ok(())
}

#[tokio::test]
async fn a_malformed_outcome_is_put_aside_and_the_next_is_heard() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    publisher.publish(Message::outcome(b"{\"message\":\"sing\"}".to_vec())).await?;
    publisher.publish(outcome(5)).await?;
    let (mut heard, _stop) = listen(vhost.url());
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(5));
    wait_until("the malformed message is in the dead queue", SOON, || async {
        (vhost.depth(topology::DEAD).await.ok()? == 1).then_some(())
    })
    .await;
    assert_eq!(vhost.depth(topology::OUTCOMES).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_malformed_batch_is_put_aside_and_the_next_is_taken() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let mut broken = work(&batch(1));
    broken.payload = b"not json".to_vec();
    publisher.publish(broken).await?;
    publisher.publish(work(&batch(2))).await?;
    let mut queue = WorkQueue::new(config(vhost.url()), "cpu");
    assert_eq!(timeout(SOON, queue.next()).await?.ack().await?.fences()[0].task.no, 2);
    assert_eq!(vhost.depth(topology::DEAD).await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_outcome_that_cannot_be_handled_yet_comes_again() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    publisher.publish(outcome(9)).await?;
    let (heard, mut times) = mpsc::unbounded_channel();
    let (config, stop) = (config(vhost.url()), CancellationToken::new());
    let stopped = stop.clone();
    let consuming = tokio::spawn(async move {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        consume_outcomes(config, 4, stopped, Default::default(), |_, _| {
            let time = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            heard.send(time).unwrap();
            std::future::ready(if time < 2 { Verdict::Requeue } else { Verdict::Ack })
        })
        .await;
    });
    for expected in 0..3 {
        assert_eq!(timeout(SOON, times.recv()).await?, Some(expected));
    }
    stop.cancel();
    timeout(SOON, consuming).await??;
    assert_eq!(vhost.depth(topology::OUTCOMES).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wiped_broker_is_furnished_again() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    publisher.publish(work(&batch(1))).await?;
    let (mut heard, _stop) = listen(vhost.url());
    publisher.publish(outcome(1)).await?;
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(1));
    vhost.wipe().await?;
    wait_until("a batch is published again", SOON, || async { publisher.publish(work(&batch(2))).await.ok() }).await;
    wait_until("an outcome is published again", SOON, || async { publisher.publish(outcome(2)).await.ok() }).await;
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(2));
    let mut queue = WorkQueue::new(config(vhost.url()), "cpu");
    assert_eq!(timeout(SOON, queue.next()).await?.ack().await?.fences()[0].task.no, 2);
    Ok(())
}

/// The consumer is cancelled by the broker, and what is said meanwhile is returned: neither may pass for success.
#[tokio::test]
async fn queues_that_are_deleted_are_noticed_by_both_sides() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let publisher = Publisher::start(config(vhost.url()));
    let (mut heard, _stop) = listen(vhost.url());
    publisher.publish(outcome(1)).await?;
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(1));
    publisher.publish(work(&batch(1))).await?;
    let mut queue = WorkQueue::new(config(vhost.url()), "cpu");
    timeout(SOON, queue.next()).await?.ack().await?;
    for name in [topology::OUTCOMES.to_owned(), topology::work_queue(Stage::Invert, "cpu")] {
        vhost.delete_queue(&name).await?;
    }
    publisher.publish(work(&batch(2))).await?;
    assert_eq!(timeout(SOON, queue.next()).await?.ack().await?.fences()[0].task.no, 2);
    wait_until("an outcome is published again", SOON, || async { publisher.publish(outcome(2)).await.ok() }).await;
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(2));
    Ok(())
}

#[tokio::test]
async fn nobody_hangs_when_the_network_goes_away() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let (proxy, url) = FaultProxy::before(vhost.url()).await?;
    let publisher = Publisher::start(config(&url));
    let (mut heard, _stop) = listen(&url);
    publisher.publish(outcome(1)).await?;
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(1));
    proxy.set(Fault::Cut);
    let away = timeout(SOON, publisher.publish(outcome(2))).await?;
    assert!(matches!(away, Err(PublishError::Unavailable(_) | PublishError::Unconfirmed(_))), "{away:?}");
    assert!(!publisher.is_connected());
    proxy.set(Fault::None);
    wait_until("an outcome is published again", SOON, || async { publisher.publish(outcome(3)).await.ok() }).await;
    // The one in doubt may have arrived before the cut.
    while timeout(SOON, heard.recv()).await?.unwrap().0 != goodbye(3) {}
    Ok(())
}

#[tokio::test]
async fn confirmed_messages_survive_a_broker_restart_and_everyone_reconnects() -> Result<()> {
    let node = TestBroker::start().await?;
    let publisher = Publisher::start(config(node.url()));
    let mut control = ControlListener::new(config(node.url()));
    control.ready().await;
    publisher.publish(work(&batch(1))).await?;
    node.stop().await?;
    let during = tokio::spawn({
        let publisher = publisher.clone();
        async move {
            wait_until("a publish passes", Duration::from_secs(60), || async {
                publisher.publish(outcome(4)).await.ok()
            })
            .await
        }
    });
    node.start_again().await?;
    during.await?;
    let mut queue = WorkQueue::new(config(node.url()), "cpu");
    assert_eq!(timeout(SOON, queue.next()).await?.ack().await?.fences()[0].task.no, 1);
    let (mut heard, _stop) = listen(node.url());
    assert_eq!(timeout(SOON, heard.recv()).await?.unwrap().0, goodbye(4));
    let message = Control::Drain { boot: None };
    let body = serde_json::to_vec(&message).unwrap();
    // Said until it is heard: what is said before the queue exists again is lost, by design.
    let said = loop {
        publisher.publish(Message::control(body.clone(), Uuid::now_v7())).await?;
        if let Ok(said) = timeout(Duration::from_millis(500), control.next()).await {
            break said;
        }
    };
    assert_eq!(said, message);
    Ok(())
}

#[test]
fn queues_have_the_names_that_dashboards_and_autoscalers_rely_on() {
    let edit: EditSpec = serde_json::from_str(r#"{"text":"x"}"#).unwrap();
    let mut batch = batch(0);
    batch.work = Work::Edit { edit, inversion: Inversion::default(), mapper: None, items: Vec::new() };
    assert_eq!(topology::work_queue(batch.stage(), "cpu"), "cfx.work.edit.cpu");
}
