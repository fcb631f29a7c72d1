//! One trace follows a task: from the request that submitted its job, through RabbitMQ to a worker, to the bucket and back.

use anyhow::{Context as _, Result};
use domain::job_state::JobState;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use stories::{Cluster, PATIENCE, faces};
use testkit::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A span as it arrived.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: i64,
    service: String,
    attributes: BTreeMap<String, String>,
}

/// A collector that keeps what it is sent (OTLP over HTTP, JSON).
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

impl Collector {
    async fn start() -> Result<(Self, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let collector = Self::default();
        let kept = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                // a client that goes away ends its connection
                tokio::spawn(async move { kept.serve(stream).await });
            }
        });
        Ok((collector, address))
    }

    async fn serve(self, mut stream: TcpStream) -> Result<()> {
        let mut bytes = Vec::new();
        loop {
            let head = loop {
                if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            };
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            assert!(text.starts_with("post /v1/traces "), "{text}");
            let length =
                text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            let length = length.context("content-length")?;
            while bytes.len() < head + length {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Ok(());
                }
            }
            self.note(&serde_json::from_slice(&bytes[head..head + length])?);
            bytes.drain(..head + length);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
                .await?;
        }
    }

    fn note(&self, told: &Value) {
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let attributes = |value: &Value| -> BTreeMap<String, String> {
            let each = list(value, "attributes").into_iter();
            let plain = |a: Value| {
                a["value"]
                    .as_object()
                    .and_then(|v| v.values().next())
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            };
            each.map(|a| (text(&a, "key"), plain(a).unwrap_or_default())).collect()
        };
        let mut kept = self.0.lock().expect("nobody panics with it");
        for resource in list(told, "resourceSpans") {
            let service = attributes(&resource["resource"]).remove("service.name").unwrap_or_default();
            for scope in list(&resource, "scopeSpans") {
                kept.extend(list(&scope, "spans").iter().map(|span| Span {
                    trace: text(span, "traceId"),
                    id: text(span, "spanId"),
                    parent: text(span, "parentSpanId"),
                    name: text(span, "name"),
                    kind: span["kind"].as_i64().unwrap_or_default(),
                    service: service.clone(),
                    attributes: attributes(span),
                }));
            }
        }
    }

    fn spans(&self) -> Vec<Span> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

/// The names from a span up to the first that nothing known caused, with their services.
fn way(spans: &[Span], from: &Span) -> Vec<String> {
    let mut way = vec![format!("{}: {}", from.service, from.name)];
    let mut at = from;
    while let Some(cause) = spans.iter().find(|span| span.id == at.parent) {
        way.push(format!("{}: {}", cause.service, cause.name));
        at = cause;
    }
    way
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_follows_a_task_from_its_submission_to_its_result() -> Result<()> {
    let (collector, address) = Collector::start().await?;
    let traced = [("OTEL_EXPORTER_OTLP_ENDPOINT", address), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json".to_owned())];
    let mut cluster = Cluster::start_with(&traced).await?;
    cluster.dataset("faces", &faces(1)?).await?.expect_code(0);
    let logged = [traced.as_slice(), &[("CFX_LOG_FORMAT", "json".to_owned())]].concat();
    let worker = cluster.add_worker_with(&logged)?;

    // the user's own trace goes on
    let (trace, cause) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let body = r#"{"name": "traced", "dataset": "faces", "pack": "facesjs-64",
                   "edits": [{"text": "a face with green hair", "method": {"kind": "clip-nce", "steps": 1, "views": 2}}]}"#;
    let post = reqwest::Client::new().post(format!("http://{}/v1/jobs", cluster.server()));
    let post = post.header("content-type", "application/json").header("traceparent", format!("00-{trace}-{cause}-01"));
    let job: Value = serde_json::from_str(&post.body(body).send().await?.error_for_status()?.text().await?)?;
    let id = job["id"].as_str().context("an id")?.parse()?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);

    let spans = wait_until("the last span has come", PATIENCE, || async {
        let spans: Vec<Span> = collector.spans().into_iter().filter(|span| span.trace == trace).collect();
        // each process sends its spans when it has time to
        let there = |name: &str| spans.iter().filter(|span| span.name == name).count();
        let whole = there("db.apply_outcomes") >= 2 && there("device edit") > 0 && there("device invert") > 0;
        let whole = whole && there("process cfx.work.edit.cpu") > 0 && there("send cfx.outcomes") >= 4;
        whole.then_some(spans)
    })
    .await;
    let find =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} in {spans:#?}"));
    let post = find("POST /v1/jobs");
    assert_eq!((post.parent.as_str(), post.kind), (cause, 2), "a server's span, caused by the user's");
    assert_eq!(post.attributes["http.response.status_code"], "201");
    // there, by way of the queue ...
    let there = [
        "worker: device edit",
        "worker: process cfx.work.edit.cpu",
        "coordinator: send cfx.work",
        "coordinator: dispatch batch",
        "coordinator: POST /v1/jobs",
    ];
    assert_eq!(way(&spans, find("device edit")), there);
    for name in ["s3 read", "s3 write", "sign"] {
        let of_work = |span: &&Span| {
            span.name == name
                && way(&spans, span).ends_with(&there[1..].iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
        };
        assert!(spans.iter().any(|span| of_work(&span)), "{name} in {spans:#?}");
    }
    // ... and back
    let back = spans.iter().filter(|span| span.name == "db.apply_outcomes").map(|span| way(&spans, span));
    let back: Vec<_> = back.filter(|way| way.contains(&"worker: process cfx.work.edit.cpu".to_owned())).collect();
    let expected = ["coordinator: db.apply_outcomes", "coordinator: process cfx.outcomes", "worker: send cfx.outcomes"];
    assert!(back.iter().any(|way| way.starts_with(&expected.map(str::to_owned))), "{back:#?}");
    // the inversion it needed is in the same trace, and what nobody asked for is in none
    find("device invert");
    assert!(!collector.spans().iter().any(|span| span.parent.is_empty() && span.kind != 2), "loops begin no traces");

    // logs have the same id
    let log = cluster.workers[worker].output();
    let line = log.lines().find(|line| line.contains("finished a batch")).context(log.clone())?;
    let line: Value = serde_json::from_str(line)?;
    assert!(line["spans"].as_array().is_some_and(|spans| spans.iter().any(|span| span["trace_id"] == trace)), "{line}");
    Ok(())
}
