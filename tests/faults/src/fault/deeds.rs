//! How faults strike and are taken back.

use super::{Fault, Scene};
use crate::api::Body;
use crate::history;
use crate::rig::{COORDINATORS, Rig, WORKERS};
use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use std::time::{Duration, Instant};
use testkit::{Fault as Wire, FaultProxy};
use tokio::time::sleep;

pub(super) async fn hold(proxy: &FaultProxy, fault: Wire, time: Duration) -> Result<()> {
    proxy.set(fault);
    sleep(time).await;
    proxy.set(Wire::None);
    Ok(())
}

/// What S3 says for a status.
pub(super) fn refusal(status: &str) -> &'static str {
    match status {
        "500" => concat!(
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nContent-Length: 76\r\nConnection: close\r\n\r\n",
            "<Error><Code>InternalError</Code><Message>we broke something</Message></Error>"
        ),
        "503" => concat!(
            "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 63\r\nConnection: close\r\n\r\n",
            "<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
        ),
        "409" => concat!(
            "HTTP/1.1 409 Conflict\r\nContent-Type: application/xml\r\nContent-Length: 78\r\nConnection: close\r\n\r\n",
            "<Error><Code>ConditionalRequestConflict</Code><Message>again</Message></Error>"
        ),
        _ => concat!(
            "HTTP/1.1 412 Precondition Failed\r\nContent-Type: application/xml\r\nContent-Length: 67\r\nConnection: close\r\n\r\n",
            "<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"
        ),
    }
}

/// Until the process has died at its point, or the time is up: a point that the run did not come by is said in the history.
pub(super) async fn await_crash(fault: Fault, rig: &Rig) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let workers = !matches!(fault, Fault::CoordinatorCrash(_));
        let gone = (0..if workers { WORKERS } else { COORDINATORS }).any(|place| {
            let ended = |child: &mut testkit::Child| Ok(child.ended()?.is_some());
            let ended = if workers { rig.with_worker(place, ended) } else { rig.with_coordinator(place, ended) };
            ended.unwrap_or(false)
        });
        if gone {
            rig.note("the process died at its point");
            return rig.revive();
        }
        sleep(Duration::from_millis(50)).await;
    }
    rig.note("the process did not come by its point");
    rig.revive()
}

pub(super) async fn end_sessions(rig: &Rig, time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = 'cfx' AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        rig.database.query("cfx", end).await?;
        sleep(Duration::from_millis(150)).await;
    }
    Ok(())
}

/// Opens connections until there are none left, and ends those of the services, which must then wait.
pub(super) async fn take_connections(rig: &Rig, time: Duration) -> Result<()> {
    let mut taken = Vec::new();
    let url = rig.database.url();
    let began = Instant::now();
    while began.elapsed() < time {
        if taken.len() < 60
            && let Ok(connection) = sqlx::PgConnection::connect(&url).await
        {
            if taken.is_empty() {
                end_sessions(rig, Duration::from_millis(1)).await.ok();
            }
            taken.push(connection);
        } else {
            sleep(Duration::from_millis(20)).await;
        }
    }
    rig.note(format!("{} connections were taken", taken.len()));
    Ok(())
}

pub(super) async fn hold_snapshot(rig: &Rig, time: Duration) -> Result<()> {
    let mut holder = sqlx::PgConnection::connect(&rig.database.url()).await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks").execute(&mut holder).await?;
    let mut reader = sqlx::PgConnection::connect(&rig.database.url()).await?;
    let began = Instant::now();
    while began.elapsed() < time {
        sqlx::raw_sql(history::READ).execute(&mut reader).await?;
    }
    holder.close().await?;
    Ok(())
}

/// Takes messages out of the broker's queues and puts them back twice, in another order, or, of those that hand work out and of
/// those that tell of it, not at all.
pub(super) async fn shuffle(rig: &Rig, rng: &mut ChaCha8Rng) -> Result<()> {
    let began = Instant::now();
    let (mut seen, mut lost) = (0, 0);
    while began.elapsed() < Duration::from_secs(3) {
        for queue in rig.vhost.queues().await?.into_iter().filter(|q| q.starts_with("cfx.") && q != "cfx.dead") {
            let get = json!({ "count": 6, "ackmode": "ack_requeue_false", "encoding": "base64" });
            let taken = rig.vhost.manage(Method::POST, &["queues", rig.vhost.name(), &queue, "get"], &get).await;
            let Ok(Value::Array(mut messages)) = taken else { continue };
            seen += messages.len();
            messages.reverse();
            sleep(Duration::from_millis(rng.random_range(0..200))).await;
            for message in messages {
                if rng.random_bool(0.15) {
                    lost += 1;
                    continue;
                }
                for _ in 0..2 {
                    put_back(rig, &queue, &message).await?;
                }
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    rig.note(format!("{seen} messages were taken out, {lost} of them lost, the others put back twice"));
    Ok(())
}

pub(super) async fn put_back(rig: &Rig, queue: &str, message: &Value) -> Result<()> {
    let payload = message["payload"].as_str().context("a message has a payload")?;
    // refused rather than sent as something else
    STANDARD.decode(payload).context("a payload is base64")?;
    let properties = if message["properties"].is_object() { message["properties"].clone() } else { json!({}) };
    let body = json!({
        "properties": properties, "routing_key": queue, "payload": payload, "payload_encoding": "base64",
    });
    let path = ["exchanges", rig.vhost.name(), "amq.default", "publish"];
    rig.vhost.manage(Method::POST, &path, &body).await.map(drop)
}

pub(super) async fn storm(rig: &Rig, scene: &Scene, rng: &mut ChaCha8Rng) -> Result<()> {
    let say = async |verb: &str| {
        rig.note(verb);
        // refused where the job has ended meanwhile, which is a right answer
        let path = format!("/v1/jobs/{}/{verb}", scene.job);
        rig.api.send_as(scene.project, Method::POST, &path, Body::None).await.ok()
    };
    for _ in 0..rng.random_range(2..8) {
        say("pause").await;
        sleep(Duration::from_millis(rng.random_range(0..250))).await;
        say("resume").await;
        sleep(Duration::from_millis(rng.random_range(0..150))).await;
    }
    if rng.random_bool(0.6) && say("cancel").await.is_some() {
        history::note_cancel(rig, scene.seq).await?;
    }
    Ok(())
}
