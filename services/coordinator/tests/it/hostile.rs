//! What no client of ours would send, to a live server: slow, huge, misshapen requests, and addresses that are not to be fetched.

use crate::life_of_a_job::Serving;
use crate::support::Bench;
use anyhow::{Context as _, Result};
use domain::Digest;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes as they are, and reads until the server closes or has said enough.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // a server that refuses early closes while it is written to
    let _ = stream.write_all(bytes).await;
    let mut heard = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await.context("the server hangs")?;
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_is_given_up_and_holds_up_nobody() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.set(|config| {
        config.limits.header_timeout = Duration::from_millis(300);
        config.limits.body_idle = Duration::from_millis(300);
        config.limits.connections = 50;
    })?;
    let serving = Serving::start(&bench.app).await?;
    let began = Instant::now();
    // as many as there are places, each with half a head
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(serving.address).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await?;
        slow.push(stream);
    }
    let answer = raw(serving.address, &get("/healthz")).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for stream in &mut slow {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await??;
    }
    assert!(began.elapsed() < PATIENCE);
    // a body that stops on its way
    for path in ["/v1/datasets", &format!("/v1/blobs/{}", Digest::of("slow"))] {
        let method = if path.contains("blobs") { "PUT" } else { "POST" };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n");
        let answer = raw(serving.address, format!("{head}content-length: 1000\r\n\r\n{{").as_bytes()).await?;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_stalled"), "{answer}");
    }
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_can_be_worked_on_are_refused_and_probes_are_not() -> Result<()> {
    let mut bench = Bench::new().await?;
    bench.set(|config| config.limits.concurrent_requests = 1)?;
    let serving = Serving::start(&bench.app).await?;
    let mut upload = TcpStream::connect(serving.address).await?;
    let path = format!("/v1/blobs/{}", Digest::of("held"));
    upload
        .write_all(format!("PUT {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\nx").as_bytes())
        .await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (jobs, probe) = (get("/v1/jobs"), get("/healthz"));
    let (busy, alive) = tokio::join!(raw(serving.address, &jobs), raw(serving.address, &probe));
    let busy = busy?;
    assert!(busy.starts_with("HTTP/1.1 503") && busy.contains("retry-after: 1") && busy.contains("busy"), "{busy}");
    assert!(alive?.starts_with("HTTP/1.1 200"));
    // strangers have places of their own, and do not take those of others
    assert!(raw(serving.address, &get("/login")).await?.starts_with("HTTP/1.1 200"));
    drop(upload);
    let mut login = TcpStream::connect(serving.address).await?;
    login.write_all(b"POST /login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 90\r\n\r\nkey=").await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(raw(serving.address, &get("/login")).await?.starts_with("HTTP/1.1 503"));
    let free = || async { raw(serving.address, &get("/v1/jobs")).await.ok().filter(|a| a.starts_with("HTTP/1.1 200")) };
    testkit::wait_until("the place is free again", PATIENCE, free).await;
    drop(login);
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_misshapen_or_elsewhere_is_refused() -> Result<()> {
    let bench = Bench::new().await?;
    let serving = Serving::start(&bench.app).await?;
    let ask = async |bytes: Vec<u8>| raw(serving.address, &bytes).await;

    // too large: told by the length, or found out on the way
    let head =
        "POST /v1/datasets HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let answer = ask(format!("{head}content-length: 99999999999\r\n\r\n").into_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let answer = ask(format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(3)).into_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let long = "x".repeat(1 << 20);
    let answer = ask(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: {long}\r\n\r\n").into_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = (0..1000).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let answer = ask(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n{many}\r\n").into_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // two lengths, of which another program on the way might believe the other
    let answer = ask(format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\nxxxxx").into_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    // paths that lead elsewhere lead nowhere
    for path in [
        "/assets/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/datasets/..%2f..%2fetc%2fpasswd",
        "/v1/datasets/../../etc/passwd",
        "/v1/blobs/..%2f..%2fresults",
        "/v1/records/%00",
        "/v1/packs/%2e%2e",
        "//etc/passwd",
        "/jobs/%0d%0aset-cookie:x=1",
    ] {
        let answer = ask(get(path)).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        assert!(head.starts_with("HTTP/1.1 4"), "{path}: {head}");
        assert!(!body.contains("root:") && !head.to_lowercase().contains("set-cookie"), "{path}: {answer}");
    }

    // the one character that the database keeps in no text
    for path in [
        "/v1/jobs?q=a%00b",
        "/v1/datasets?after=%00",
        "/v1/datasets/a%00",
        "/v1/packs/%00",
        "/?q=%00",
        "/datasets/a%00",
    ] {
        let answer = ask(get(path)).await?;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("U+0000"), "{path}: {answer}");
    }
    for (path, body) in [
        ("/v1/datasets", json!({ "name": "a\0" })),
        ("/v1/packs", json!({ "manifest": "\0" })),
        ("/v1/jobs", json!({ "name": "a\0", "dataset": "d", "pack": "p", "edits": [{ "text": "a face" }] })),
    ] {
        let (status, answer) = bench.post(path, &body, &[]).await?;
        assert!(status == 400 && answer["detail"].to_string().contains("U+0000"), "{path}: {status} {answer}");
    }

    // text that would end a header, wherever one is made of what was sent
    for address in ["/login?then=/%0d%0aset-cookie:%20x=1", "/v1/blobs/x%0d%0aset-cookie:%20x=1"] {
        let answer = ask(get(address)).await?;
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
        assert!(!head.contains("set-cookie"), "{answer}");
    }
    let key = bench.key(domain::Scope::Read, None).await?;
    let form = format!("key={key}&then=/%0d%0alocation:%20https://evil.example");
    let head = "POST /login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-www-form-urlencoded\r\nconnection: close";
    let answer = ask(format!("{head}\r\ncontent-length: {}\r\n\r\n{form}", form.len()).into_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("location: /\r\n"), "{answer}");
    assert!(!answer.contains("evil.example"), "{answer}");
    let answer =
        ask(b"GET /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncfx-project: a\x01b\r\nconnection: close\r\n\r\n".to_vec())
            .await?;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    serving.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_users_write_are_not_fetched() -> Result<()> {
    let bench = Bench::new().await?;
    let serving = Serving::start(&bench.app).await?;
    // whoever connects here was tricked into it
    let trap = TcpListener::bind("127.0.0.1:0").await?;
    let address = trap.local_addr()?;
    // an import names a bucket at the configured service, and nothing else
    for import in [
        format!("http://{address}/x"),
        format!("s3://{address}/x"),
        format!("s3://a@{address}/x"),
        "s3://169.254.169.254/latest/meta-data".to_owned(),
        "s3://[::1]/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/x".to_owned(),
    ] {
        let (status, answer) = bench.post("/v1/datasets", &json!({ "name": "x", "import": import }), &[]).await?;
        assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("invalid_request")), "{import}");
    }
    // a source's URI is a label: its bytes came before it, under their digest
    let bytes = b"image".to_vec();
    let sha256 = bench.app.artifacts.put(bytes).await?;
    bench.post("/v1/datasets", &json!({ "name": "faces" }), &[]).await?;
    let uri = format!("http://{address}/latest/meta-data");
    let sources = json!({ "sources": [{ "sha256": sha256, "uri": uri, "bytes": 5 }] });
    let (status, answer) = bench.post("/v1/datasets/faces/sources", &sources, &[]).await?;
    assert_eq!((status.as_u16(), &answer["added"]), (200, &json!(1)));
    bench.get("/v1/datasets/faces/sources").await?;
    bench.get("/datasets").await?;
    let lured = tokio::time::timeout(Duration::from_secs(1), trap.accept()).await;
    assert!(lured.is_err(), "something connected to an address that a user wrote");
    serving.end().await
}
