//! A coordinator in the test's process, on a database, a vhost and a bucket of its own.

use crate::contract::{self, Exchange};
use anyhow::Result;
use artifacts::Artifacts;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use coordinator::access::Gate;
use coordinator::app::{self, App};
use coordinator::config::{self, Access, Bucket, Config, Limits, Tuning};
use domain::{Digest, Scope};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::{Store, StoreConfig};
use telemetry::{Guard, LogConfig, LogFormat};
use testkit::{TestBucket, TestDatabase, TestVhost};
use tower::ServiceExt;

/// The name of the registered pack.
pub const PACK: &str = "facesjs-64";

/// The services and the coordinator on them.
pub struct Bench {
    /// The coordinator.
    pub app: App,
    /// Its router.
    pub router: Router,
    // dropped after the coordinator
    _database: TestDatabase,
    /// Its vhost.
    pub vhost: TestVhost,
    _bucket: TestBucket,
}

/// Telemetry is set up once a process, and all tests of a file share it.
fn telemetry() -> Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    let settings = LogConfig { format: LogFormat::Text, filter: "warn".to_owned(), traces: None };
    GUARD.get_or_init(|| telemetry::init("coordinator", &settings).expect("telemetry is set up once")).clone()
}

impl Bench {
    /// Fresh services, loops not started.
    pub async fn new() -> Result<Self> {
        Self::with(Limits {
            json_bytes: 64 << 10,
            blob_bytes: 8 << 20,
            image_bytes: 8 << 20,
            request_timeout: Duration::from_secs(30),
            ..Limits::default()
        })
        .await
    }

    async fn with(limits: Limits) -> Result<Self> {
        let (database, vhost, bucket) =
            (TestDatabase::create().await?, TestVhost::create().await?, TestBucket::create().await?);
        let tuning = Tuning {
            // many small batches, however cheap their tasks are
            batch_most: 1,
            poll: Duration::from_millis(50),
            sweep: Duration::from_millis(100),
            worker_lost: Duration::from_secs(5),
            never_started: Duration::from_secs(3),
            // so that even a small job is written in many slices
            slice_rows: 23,
            ..Tuning::default()
        };
        let config = Config {
            listen: "127.0.0.1:0".parse()?,
            tls: None,
            database_url: database.url().to_owned(),
            database_connections: 10,
            broker_url: vhost.url().to_owned(),
            bucket: Bucket {
                name: TestBucket::NAME.to_owned(),
                endpoint: Some(bucket.endpoint()),
                public_endpoint: None,
                region: TestBucket::REGION.to_owned(),
                path_style: true,
                access_key: TestBucket::ACCESS_KEY.to_owned(),
                secret_key: TestBucket::SECRET_KEY.to_owned(),
            },
            signer: None,
            lineage: None,
            kubernetes: None,
            access: Access { session: Duration::from_secs(3600), ..Access::default() },
            limits,
            tuning,
        };
        let app = app_on(config, "first").await?;
        let router = coordinator::http::router(app.clone());
        Ok(Self { app, router, _database: database, vhost, _bucket: bucket })
    }

    /// The same services behind other settings.
    pub fn set(&mut self, change: impl FnOnce(&mut Config)) -> Result<()> {
        let mut config = Config::clone(&self.app.config);
        change(&mut config);
        self.app.gate = Arc::new(Gate::new(&config)?);
        self.app.config = Arc::new(config);
        self.router = coordinator::http::router(self.app.clone());
        Ok(())
    }

    /// A key's text, made by somebody on this machine; `None` for all projects.
    pub async fn key(&self, scope: Scope, project: Option<&str>) -> Result<String> {
        let name = format!("{scope}-{}", project.unwrap_or("all"));
        let new = json!({ "name": name, "scope": scope, "project": project });
        let (status, answer) = self.post("/v1/api-keys", &new, &[]).await?;
        anyhow::ensure!(status == StatusCode::CREATED, "{status} {answer}");
        Ok(answer["token"].as_str().unwrap_or_default().to_owned())
    }

    /// A second coordinator on the same services.
    pub async fn beside(&self) -> Result<App> {
        app_on(Config::clone(&self.app.config), "second").await
    }

    /// Sends a request; status, media type and body.
    pub async fn send(&self, request: Request<Body>) -> Result<(StatusCode, String, Bytes)> {
        let (request, method, path, sent) = noted(request).await?;
        let answer = self.answer(request).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await?;
        contract::check(&Exchange { method: &method, path: &path, sent, status, media: &media, body: &body })?;
        Ok((status, media, body))
    }

    /// GET, with the headers of the answer.
    pub async fn router_get(&self, path: &str) -> Result<axum::response::Response> {
        self.answer(Request::get(path).body(Body::empty())?).await
    }

    /// The whole answer to a request as a program on this machine sends it, unless it says otherwise.
    pub async fn answer(&self, mut request: Request<Body>) -> Result<axum::response::Response> {
        let here: SocketAddr = "127.0.0.1:49152".parse()?;
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(here));
        }
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        }
        Ok(self.router.clone().oneshot(request).await?)
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, String, Bytes)> {
        self.send(Request::get(path).body(Body::empty())?).await
    }

    /// GET, reading JSON.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let (status, _, body) = self.get(path).await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(serde_json::from_slice(&body)?)
    }

    /// POST of JSON with headers.
    pub async fn post(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Result<(StatusCode, Value)> {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, _, body) = self.send(request.body(Body::from(body.to_string()))?).await?;
        Ok((status, serde_json::from_slice(&body)?))
    }

    /// PUT of an object under the digest in the address.
    pub async fn put_blob(&self, digest: Digest, bytes: Vec<u8>) -> Result<(StatusCode, Bytes)> {
        let request = Request::put(format!("/v1/blobs/{digest}")).body(Body::from(bytes))?;
        let (status, _, body) = self.send(request).await?;
        Ok((status, body))
    }

    /// Registers a dataset of `n` small objects, each labelled by the parity of its number.
    pub async fn dataset(&self, name: &str, n: usize) -> Result<()> {
        self.post("/v1/datasets", &json!({ "name": name }), &[]).await?;
        let mut sources = Vec::new();
        for index in 0..n {
            let bytes = format!("{name} {index}").into_bytes();
            let sha256 = self.app.artifacts.put(bytes.clone()).await?;
            let parity = if index % 2 == 0 { "even" } else { "odd" };
            sources.push(json!({ "sha256": sha256, "uri": format!("{name}/{index}.png"), "bytes": bytes.len(),
                                 "labels": { "parity": parity } }));
        }
        let (status, answer) =
            self.post(&format!("/v1/datasets/{name}/sources"), &json!({ "sources": sources }), &[]).await?;
        anyhow::ensure!(status == StatusCode::OK && answer["added"] == n, "{status} {answer}");
        Ok(())
    }

    /// Uploads and registers the demo pack.
    pub async fn pack(&self) -> Result<Value> {
        let pack = packs::Pack::open(testkit::workspace_root().join("deploy/demo/pack"))?;
        upload(&self.app.artifacts, &pack).await?;
        let (status, answer) = self.post("/v1/packs", &json!({ "manifest": pack.manifest_text() }), &[]).await?;
        anyhow::ensure!(status.is_success(), "{status} {answer}");
        Ok(answer)
    }
}

/// The request again, with what the contract asks of it.
async fn noted(request: Request<Body>) -> Result<(Request<Body>, Method, String, Option<Value>)> {
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "application/json");
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    if !declared {
        // a body of gigabytes, or of a slow sender, goes on as it comes
        return Ok((Request::from_parts(parts, body), method, path, None));
    }
    let bytes = axum::body::to_bytes(body, usize::MAX).await?;
    let sent = serde_json::from_slice(&bytes).ok();
    Ok((Request::from_parts(parts, Body::from(bytes)), method, path, sent))
}

async fn app_on(config: Config, holder: &str) -> Result<App> {
    let store = Store::connect(&StoreConfig { url: config.database_url.clone(), max_connections: 10 }).await?;
    let signing = coordinator::signing::Signing::open(&store, None).await?;
    Ok(App {
        signing,
        listening: Default::default(),
        live: Default::default(),
        thumbs: Default::default(),
        store,
        artifacts: app::bucket(&config.bucket),
        uploads: Arc::new(app::presigner(&config.bucket)),
        publisher: broker::Publisher::start(config::broker(&config)),
        wake: Arc::default(),
        metrics: telemetry(),
        holder: holder.into(),
        gate: Arc::new(Gate::new(&config)?),
        config: Arc::new(config),
    })
}

async fn upload(artifacts: &Artifacts, pack: &packs::Pack) -> Result<()> {
    for file in pack.manifest().files() {
        artifacts.put(std::fs::read(pack.path(&file))?).await?;
    }
    Ok(())
}

/// A job of one trained and one per-image edit.
pub fn job(name: &str) -> Value {
    json!({
        "name": name, "dataset": "faces", "pack": PACK, "strengths": [1.0, 1.5],
        "edits": [
            { "name": "green", "text": "a face with green hair", "method": { "kind": "cf-mapper", "train_on": "train" } },
            { "name": "blue", "text": "a face with blue skin", "method": { "kind": "clip-nce" } },
        ],
    })
}
