//! Silence: connections that are dead and nobody says so, and a broker that takes nothing more.

use anyhow::Result;
use broker::{BrokerConfig, Message, Publisher, Verdict, consume_outcomes};
use domain::BootId;
use std::time::{Duration, Instant};
use testkit::{Fault, FaultProxy, TestBroker, TestVhost, wait_until};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wire::broker::v1::FromWorker;

const LONG: Duration = Duration::from_secs(60);

fn quick(url: &str) -> BrokerConfig {
    BrokerConfig { heartbeat_seconds: 2, confirm_timeout: Duration::from_secs(5), ..BrokerConfig::new(url, "test") }
}

fn goodbye(n: u128) -> Message {
    let message = FromWorker::Goodbye { boot: BootId::from_uuid(Uuid::from_u128(n)) };
    Message::outcome(serde_json::to_vec(&message).expect("a goodbye has a JSON form"))
}

/// What is said, until the token is cancelled.
fn listen(url: &str) -> (mpsc::UnboundedReceiver<FromWorker>, CancellationToken) {
    let (heard, said) = mpsc::unbounded_channel();
    let (config, stop) = (quick(url), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        consume_outcomes(config, 4, stopped, Default::default(), |message, _| {
            // the test has ended if nobody listens
            let _ = heard.send(message);
            std::future::ready(Verdict::Ack)
        })
        .await;
    });
    (said, stop)
}

#[tokio::test]
async fn half_open_connections_are_noticed_and_made_anew() -> Result<()> {
    let vhost = TestVhost::create().await?;
    let (proxy, url) = FaultProxy::before(vhost.url()).await?;
    let publisher = Publisher::start(quick(&url));
    let (mut heard, _stop) = listen(&url);
    publisher.publish(goodbye(1)).await?;
    assert!(timeout(LONG, heard.recv()).await?.is_some());
    proxy.set(Fault::HalfOpen);
    let began = Instant::now();
    wait_until("an outcome is published again", LONG, || async { publisher.publish(goodbye(2)).await.ok() }).await;
    let wanted = FromWorker::Goodbye { boot: BootId::from_uuid(Uuid::from_u128(2)) };
    while timeout(LONG, heard.recv()).await?.as_ref() != Some(&wanted) {}
    println!("said and heard again after {:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_broker_of_ones_own_that_blocks_publishers_makes_them_wait_and_not_fail() -> Result<()> {
    let node = TestBroker::start().await?;
    let publisher = Publisher::start(quick(node.url()));
    let (mut heard, _stop) = listen(node.url());
    // a node that has just started refuses what it gets before its queue has elected a leader
    wait_until("the new node takes a message", LONG, || async { publisher.publish(goodbye(1)).await.ok() }).await;
    assert!(timeout(LONG, heard.recv()).await?.is_some());
    node.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).await?;
    let waiting = tokio::spawn({
        let publisher = publisher.clone();
        async move {
            // the first may pass before the broker blocks its connection; the second does not
            publisher.publish(goodbye(2)).await?;
            publisher.publish(goodbye(3)).await
        }
    });
    // longer than a confirm may take: while it is blocked, that time stands still
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(!waiting.is_finished(), "{:?}", waiting.await);
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await?;
    timeout(LONG, waiting).await???;
    let wanted = FromWorker::Goodbye { boot: BootId::from_uuid(Uuid::from_u128(3)) };
    while timeout(LONG, heard.recv()).await?.as_ref() != Some(&wanted) {}
    Ok(())
}

/// The mistake that leaves a consumer connected and deaf: the broker closes its channel (406, here because a message was held for
/// longer than it allows), and the connection lives on.
#[tokio::test]
async fn a_channel_of_a_broker_of_ones_own_that_is_closed_is_opened_again() -> Result<()> {
    let node = TestBroker::start().await?;
    let impatient =
        "application:set_env(rabbit, consumer_timeout, 2000), application:set_env(rabbit, channel_tick_interval, 500).";
    node.ctl(&["eval", impatient]).await?;
    let (heard, mut said) = mpsc::unbounded_channel();
    let (config, stop) = (quick(node.url()), CancellationToken::new());
    let stopped = stop.clone();
    tokio::spawn(async move {
        let times = std::sync::atomic::AtomicU32::new(0);
        consume_outcomes(config, 4, stopped, Default::default(), async |message, _| {
            let first = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            // the test has ended if nobody listens
            let _ = heard.send(message);
            if first {
                std::future::pending::<()>().await;
            }
            Verdict::Ack
        })
        .await;
    });
    let publisher = Publisher::start(quick(node.url()));
    wait_until("the new node takes a message", LONG, || async { publisher.publish(goodbye(1)).await.ok() }).await;
    let stuck = FromWorker::Goodbye { boot: BootId::from_uuid(Uuid::from_u128(1)) };
    assert_eq!(timeout(LONG, said.recv()).await?.as_ref(), Some(&stuck));
    // on the channel that is opened in the closed one's place
    assert_eq!(timeout(LONG, said.recv()).await?.as_ref(), Some(&stuck), "what was held comes again");
    publisher.publish(goodbye(2)).await?;
    let wanted = FromWorker::Goodbye { boot: BootId::from_uuid(Uuid::from_u128(2)) };
    while timeout(LONG, said.recv()).await?.as_ref() != Some(&wanted) {}
    stop.cancel();
    Ok(())
}
