//! What is asked of an installation, as its users do: by HTTP, of whichever coordinator answers.

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::wait_until;

/// Sources of a job's dataset.
pub const SOURCES: i64 = 40;
/// Longest that anything is asked again: long enough for a broker to start on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The coordinators of an installation, asked in turn.
#[derive(Debug)]
pub struct Api {
    /// Their addresses, for example `http://127.0.0.1:8080`.
    pub servers: Vec<String>,
    /// What asks, with whatever it shows and trusts.
    pub client: reqwest::Client,
}

impl Api {
    /// Gives a project its datasets: objects that are only hashed, because nothing decodes them.
    ///
    /// # Errors
    /// When no coordinator takes them.
    pub async fn datasets(&self, project: &str) -> Result<()> {
        for (name, count) in [("small", SOURCES), ("train", 3)] {
            let objects = (0..count).map(|no| format!("{name} source {no}").into_bytes()).collect();
            self.dataset(project, name, objects).await?;
        }
        Ok(())
    }

    /// Registers a dataset of these objects.
    ///
    /// # Errors
    /// When no coordinator takes them.
    pub async fn dataset(&self, project: &str, name: &str, objects: Vec<Vec<u8>>) -> Result<()> {
        let mut sources = Vec::new();
        for (no, bytes) in objects.into_iter().enumerate() {
            let digest = domain::Digest::of(&bytes).to_string();
            let uri = format!("memory:{name}/{no}");
            sources.push(json!({ "sha256": digest, "uri": uri, "bytes": bytes.len() }));
            self.send(Method::PUT, &format!("/v1/blobs/{digest}"), Body::Bytes(bytes)).await?;
        }
        let body = Body::Json(json!({ "name": name }));
        self.send_as(project, Method::POST, "/v1/datasets", body).await?;
        let path = format!("/v1/datasets/{name}/sources");
        self.send_as(project, Method::POST, &path, Body::Json(json!({ "sources": sources }))).await.map(drop)
    }

    /// Submits the job of `seed`: inversions of its own, edits that need a mapper and edits that need none. Returns its id and number.
    ///
    /// # Errors
    /// When no coordinator takes it within two minutes.
    pub async fn submit(&self, seed: u64) -> Result<(String, i64)> {
        self.submit_as("default", seed, 1).await
    }

    /// The same for a project that has its datasets, with `seeds` images of every edit.
    ///
    /// # Errors
    /// As [`Rig::submit`].
    pub async fn submit_as(&self, project: &str, seed: u64, seeds: u64) -> Result<(String, i64)> {
        let spec = json!({
            "name": format!("seed {seed}"),
            "dataset": "small",
            "pack": "facesjs-64",
            "edits": [
                { "text": "a face with green hair", "method": { "kind": "clip-nce", "steps": 1 } },
                { "text": "a face with red hair", "method": { "kind": "cf-mapper", "train_on": "train" } },
            ],
            "seeds": (seed..seed + seeds).collect::<Vec<_>>(),
            "inversion": { "kind": "optimise", "seed": seed },
        });
        self.submit_spec(project, spec).await
    }

    /// Submits any job; its id and number.
    ///
    /// # Errors
    /// When it is refused, or no coordinator takes it within two minutes.
    pub async fn submit_spec(&self, project: &str, spec: Value) -> Result<(String, i64)> {
        let body = Body::Job(spec, uuid::Uuid::new_v4().to_string());
        let answer = self.send_as(project, Method::POST, "/v1/jobs", body).await?;
        let id = answer["id"].as_str().context("a job has an id")?.to_owned();
        Ok((id, answer["seq"].as_i64().context("a job has a number")?))
    }

    /// A request to whichever coordinator answers, repeated for two minutes.
    ///
    /// # Errors
    /// When it is refused, or nobody answers.
    pub async fn send(&self, method: Method, path: &str, body: Body) -> Result<Value> {
        self.send_as("default", method, path, body).await
    }

    /// The same for a project.
    ///
    /// # Errors
    /// As [`Rig::send`].
    pub async fn send_as(&self, project: &str, method: Method, path: &str, body: Body) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            for server in &self.servers {
                let request =
                    self.client.request(method.clone(), format!("{server}{path}")).header("cfx-project", project);
                let request = match &body {
                    Body::None => request,
                    Body::Bytes(bytes) => request.body(bytes.clone()),
                    Body::Json(value) => request.json(value),
                    Body::Job(value, key) => request.json(value).header("idempotency-key", key),
                };
                match request.send().await {
                    Ok(answer) if answer.status().is_success() => {
                        let text = answer.text().await.unwrap_or_default();
                        return Ok(serde_json::from_str(&text).unwrap_or(Value::Null));
                    }
                    Ok(answer) if is_refusal(answer.status()) => {
                        bail!("{method} {path}: {} {}", answer.status(), answer.text().await.unwrap_or_default());
                    }
                    Ok(answer) => last = answer.status().to_string(),
                    Err(error) => last = error.to_string(),
                }
            }
            if Instant::now() > deadline {
                bail!("{method} {path} was not answered within {PATIENCE:?}: {last}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until every coordinator is ready.
    pub async fn ready(&self) {
        for server in &self.servers {
            let url = format!("{server}/readyz");
            wait_until("a coordinator is ready", PATIENCE, || {
                let asking = self.client.get(&url).send();
                async move { asking.await.ok().filter(|r| r.status().is_success()) }
            })
            .await;
        }
    }

    /// How many seconds the clock of the coordinator `place` is off, by the date of its answers.
    ///
    /// # Errors
    /// When it does not answer with a date.
    pub async fn clock_off(&self, place: usize) -> Result<f64> {
        let answer = self.client.get(format!("{}/healthz", self.servers[place])).send().await?;
        let date = answer.headers().get("date").context("an answer has a date")?.to_str()?;
        let there = chrono::DateTime::parse_from_rfc2822(date)?;
        // safe to widen: seconds
        Ok((there.timestamp() - chrono::Utc::now().timestamp()) as f64)
    }
}

/// What goes with a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing.
    None,
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON.
    Json(Value),
    /// A job with its idempotency key.
    Job(Value, String),
}

fn is_refusal(status: StatusCode) -> bool {
    status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT && status != StatusCode::TOO_MANY_REQUESTS
}
