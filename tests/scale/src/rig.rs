//! The installation that is measured: a coordinator as it ships, on a database, a vhost and a bucket of its own.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};
use store::{Store, StoreConfig};
use tempfile::TempDir;
use testkit::{Child, TestBucket, TestDatabase, TestVhost, wait_until, workspace_binary, workspace_root};

const PATIENCE: Duration = Duration::from_secs(120);
/// Edits of one source of a no-op job.
const SEEDS: usize = 4;
/// Tasks of one source of a no-op job: its inversion and its edits.
pub const TASKS_OF_SOURCE: usize = 1 + SEEDS;
/// Uploads at once.
const UPLOADS: usize = 8;

/// A running installation without workers.
pub struct Rig {
    // dropped in this order: processes before what they use
    /// The coordinator.
    pub coordinator: Child,
    /// The database, for looking and for generated rows.
    pub pool: PgPool,
    /// The database as a coordinator uses it.
    pub store: Store,
    settings: Vec<(&'static str, String)>,
    address: SocketAddr,
    client: reqwest::Client,
    broker_url: String,
    folder: TempDir,
    _vhost: TestVhost,
    _bucket: TestBucket,
    _database: TestDatabase,
}

impl Rig {
    /// Starts it and registers the demo pack.
    ///
    /// # Errors
    /// When the private stack does not run (`make up`) or a binary is not built (`make build`).
    pub async fn start() -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (database, vhost, bucket) =
            (TestDatabase::create().await?, TestVhost::create().await?, TestBucket::create().await?);
        let folder = TempDir::with_prefix("cfx-scale-")?;
        let mut settings = bucket.settings();
        settings.extend([
            ("CFX_DATABASE_URL", database.url().to_owned()),
            ("CFX_BROKER_URL", vhost.url().to_owned()),
            ("CFX_LOG", "warn".to_owned()),
            ("CFX_ADMIN_KEY_FILE", folder.path().join("admin.key").to_string_lossy().into_owned()),
        ]);
        let address = free_address()?;
        let arguments = ["serve".to_owned(), "--listen".to_owned(), address.to_string()];
        let rig = Self {
            coordinator: Child::spawn("coordinator", arguments, settings.clone())?,
            pool: database.pool().await?,
            store: Store::connect(&StoreConfig { url: database.url().to_owned(), max_connections: 4 }).await?,
            settings,
            address,
            client: reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy().build()?,
            broker_url: vhost.url().to_owned(),
            folder,
            _vhost: vhost,
            _bucket: bucket,
            _database: database,
        };
        wait_until("the coordinator is ready", PATIENCE, || async { rig.get("/readyz").await.ok() }).await;
        let mut command = tokio::process::Command::new(workspace_binary("cfx")?);
        command.args(["pack", "add"]).arg(workspace_root().join("deploy/demo/pack"));
        let output = command.env("CFX_SERVER", format!("http://{address}")).env_remove("CFX_PROJECT").output().await?;
        if !output.status.success() {
            bail!("the pack could not be added: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(rig)
    }

    /// RabbitMQ, for workers of this process.
    pub fn broker_url(&self) -> &str {
        &self.broker_url
    }

    /// A worker process with a null executor, for example `sleep:0ms`.
    ///
    /// # Errors
    /// When it is not built.
    pub fn worker(&self, executor: &str) -> Result<Child> {
        self.worker_with(&[("CFX_EXECUTOR", executor.to_owned())])
    }

    /// A worker process with some settings of its own; without an executor among them it computes.
    ///
    /// # Errors
    /// When it is not built.
    pub fn worker_with(&self, own: &[(&'static str, String)]) -> Result<Child> {
        let mut settings = self.settings.clone();
        settings.extend(own.iter().cloned());
        settings.push(("CFX_CACHE_DIR", self.folder.path().join("packs").to_string_lossy().into_owned()));
        settings.push(("CFX_THREADS", "1".to_owned()));
        Child::spawn("worker", ["run"], settings)
    }

    /// The body of an answer that is a success.
    ///
    /// # Errors
    /// When it is none.
    pub async fn get(&self, path: &str) -> Result<String> {
        let answer = self.client.get(format!("http://{}{path}", self.address)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Value> {
        let request = self.client.post(format!("http://{}{path}", self.address)).header("idempotency-key", key);
        let answer = request.json(body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("POST {path}: {status} {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A dataset of `count` sources whose objects are in the bucket; they are only hashed, because nothing decodes them.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn dataset(&self, name: &str, count: usize) -> Result<()> {
        let objects: Vec<Vec<u8>> = (0..count).map(|no| format!("{name} source {no}").into_bytes()).collect();
        self.dataset_of(name, &objects).await
    }

    /// A dataset of these files.
    ///
    /// # Errors
    /// When a request fails.
    pub async fn dataset_of(&self, name: &str, objects: &[Vec<u8>]) -> Result<()> {
        self.post("/v1/datasets", name, &json!({ "name": name })).await?;
        let upload = async |part: usize| -> Result<()> {
            for bytes in objects.iter().skip(part).step_by(UPLOADS) {
                let digest = domain::Digest::of(bytes);
                let url = format!("http://{}/v1/blobs/{digest}", self.address);
                self.client.put(url).body(bytes.clone()).send().await?.error_for_status()?;
            }
            Ok(())
        };
        tokio::try_join!(upload(0), upload(1), upload(2), upload(3), upload(4), upload(5), upload(6), upload(7))?;
        for (slice, objects) in objects.chunks(1_000).enumerate() {
            let source = |(no, bytes): (usize, &Vec<u8>)| json!({ "sha256": domain::Digest::of(bytes), "uri": format!("memory:{name}/{slice}/{no}"), "bytes": bytes.len() });
            let sources: Vec<Value> = objects.iter().enumerate().map(source).collect();
            let path = format!("/v1/datasets/{name}/sources");
            self.post(&path, &format!("{name}-sources-{slice}"), &json!({ "sources": sources })).await?;
        }
        Ok(())
    }

    /// A dataset of `count` rows by SQL, without objects: for workers that read nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn generated_dataset(&self, name: &'static str, count: i64) -> Result<()> {
        self.post("/v1/datasets", name, &json!({ "name": name })).await?;
        let sql = "WITH d AS (UPDATE datasets SET sources = $2, archived = $2 WHERE name = $1 RETURNING id)
            INSERT INTO sources (dataset, ordinal, sha256, uri, bytes)
            SELECT d.id, n, sha256(($1 || n)::bytea), 'generated:' || n, 1 FROM d, generate_series(0, $2 - 1) AS n";
        sqlx::query(sql).bind(name).bind(count).execute(&self.pool).await?;
        Ok(())
    }

    /// Submits a job; its id and number.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn submit(&self, spec: &Value) -> Result<(String, i64)> {
        let job = self.post("/v1/jobs", &uuid::Uuid::new_v4().to_string(), spec).await?;
        let id = job["id"].as_str().context("a job has an id")?.to_owned();
        Ok((id, job["seq"].as_i64().context("a job has a number")?))
    }

    /// Submits a job of [`TASKS_OF_SOURCE`] tasks a source, and waits until its last task is written; its id and number, and how long
    /// that took.
    ///
    /// # Errors
    /// When it is refused, or not written in time.
    pub async fn submit_noop(&self, dataset: &str) -> Result<(String, i64, Duration)> {
        let seeds: Vec<usize> = (0..SEEDS).collect();
        let spec = json!({
            "name": "no-op", "dataset": dataset, "pack": "facesjs-64", "seeds": seeds,
            "edits": [{ "text": "a face with green hair", "method": { "kind": "clip-nce", "steps": 1 } }],
        });
        let began = Instant::now();
        let (id, seq) = self.submit(&spec).await?;
        let written = "SELECT count(*) FROM jobs WHERE seq = $1 AND state <> 'accepting'";
        self.reaches(written, seq, 1, Duration::from_millis(2)).await?;
        Ok((id, seq, began.elapsed()))
    }

    /// Waits until a number of the job by SQL is at least `least`, looking every `pause`.
    ///
    /// # Errors
    /// When it is not within two minutes.
    pub async fn reaches(&self, sql: &'static str, job: i64, least: i64, pause: Duration) -> Result<()> {
        let began = Instant::now();
        while self.number(sql, job).await? < least {
            ensure!(began.elapsed() < PATIENCE, "within {PATIENCE:?} '{sql}' did not come to {least}");
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Cancels a job.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn cancel(&self, id: &str) -> Result<()> {
        self.post(&format!("/v1/jobs/{id}/cancel"), id, &json!({})).await.map(drop)
    }

    /// A number by SQL.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn number(&self, sql: &'static str, job: i64) -> Result<i64> {
        Ok(sqlx::query_scalar(sql).bind(job).fetch_one(&self.pool).await?)
    }
}

/// An address of this machine that nothing listens on just now.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
