//! What no worker of ours would say: it is refused, counted and visible, and the system goes on.

use crate::life_of_a_job::{Serving, submit, until};
use crate::support::{Bench, job};
use crate::worker::{Manners, Worker};
use anyhow::Result;
use broker::{Message, PublishError};
use domain::job_state::JobState;
use domain::{BatchId, BootId};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// The value of a counter in Prometheus' text, summed over its labels.
async fn counter(bench: &Bench, name: &str, label: &str) -> Result<f64> {
    let (_, _, text) = bench.get("/metrics").await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_counted_and_shown_and_a_job_ends_beside_it() -> Result<()> {
    let bench = Bench::new().await?;
    bench.dataset("faces", 8).await?;
    bench.dataset("train", 2).await?;
    bench.pack().await?;
    let serving = Serving::start(&bench.app).await?;
    let say = async |body: Vec<u8>| bench.app.publisher.publish(Message::outcome(body)).await;
    let unreadable = counter(&bench, "cfx_unreadable_messages_total", "cfx.outcomes").await?;
    let refused = counter(&bench, "cfx_worker_messages_refused_total", "heartbeat").await?;

    // what cannot be read
    for body in [&b"not json"[..], b"{\"message\":\"of-a-later-version\"}", b"[[[[[[", b"\xff\xfe"] {
        say(body.to_vec()).await?;
    }
    let huge = vec![b' '; broker::MOST_BYTES + 1];
    let refused_here = say(huge.clone()).await;
    assert!(matches!(refused_here, Err(PublishError::TooLarge { .. })), "{refused_here:?}");
    bench.vhost.publish("cfx.outcomes", &huge).await?;
    // heartbeats that would reach into pages and queue names
    let boot = BootId::from_uuid(Uuid::new_v4());
    let heartbeat = |class: &str, name: &str, done: &str| {
        format!(
            r#"{{"message":"heartbeat","boot":"{boot}","name":{},"class":{},"device":"x","version":"0","draining":false,
                "running":[{{"task":"1-0","epoch":1,"done":{done}}}],"images":18446744073709551615,"busy_ms":0}}"#,
            json!(name),
            json!(class)
        )
    };
    say(heartbeat("a class\u{0}with/everything", "x", "0").into_bytes()).await?;
    say(heartbeat(&"a".repeat(300), "x", "0").into_bytes()).await?;
    say(heartbeat("cpu", &"long\u{0}".repeat(1000), "1e39").into_bytes()).await?;
    // outcomes with numbers that are none, under epochs that are not
    let batch = BatchId::from_uuid(Uuid::new_v4());
    for gpu_ms in ["-1", "1e308", "1.7e308"] {
        for task in 0..12 {
            let outcomes = format!(
                r#"{{"message":"outcomes","boot":"{boot}","batch":"{batch}","items":[{{"fence":{{"task":"1-{task}","epoch":1}},
                    "gpu_ms":{gpu_ms},"outcome":{{"kind":"yielded","checkpoint":null,"done":1e39}}}}]}}"#
            );
            say(outcomes.into_bytes()).await?;
        }
    }

    testkit::wait_until("all of it was dealt with", Duration::from_secs(30), || async {
        let counted = counter(&bench, "cfx_unreadable_messages_total", "cfx.outcomes").await.ok()?;
        let told = counter(&bench, "cfx_worker_messages_refused_total", "heartbeat").await.ok()?;
        (counted >= unreadable + 5.0 && told >= refused + 2.0).then_some(())
    })
    .await;
    // the last heartbeat is counted nowhere: that it was applied is seen by the worker that it tells of
    let workers = testkit::wait_until("the one with a usable class is shown", Duration::from_secs(30), || async {
        let (status, _, workers) = bench.get("/v1/workers").await.ok()?;
        assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&workers));
        let workers: serde_json::Value = serde_json::from_slice(&workers).ok()?;
        workers["items"].as_array()?.first().cloned()
    })
    .await;
    let shown = &workers;
    assert!(shown["name"].as_str().is_some_and(|name| name.chars().count() == 200 && !name.contains('\0')), "{shown}");

    let _worker = Worker::start(&bench.app, Manners::Good);
    let id = submit(&bench, &job("beside it")).await?;
    let done = until(&bench, &id, "the job has succeeded", |job| job.state.is_terminal()).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert!(done.gpu_ms < 1e9, "nobody is charged for it: {}", done.gpu_ms);
    serving.end().await
}
