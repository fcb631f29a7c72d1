//! The one place that speaks HTTP: addresses, retries while the coordinator restarts, problems as errors.

use crate::profile::Secret;
use credentials::Companion;
use domain::TaskId;
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::http::v1::{EditResult, Page, Problem, SignedCompanion};

/// A request that brought no answer of the kind asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke, on every try.
    #[error("the coordinator at {server} does not answer; is it running (`make up`), and is --server right?")]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// The last trouble.
        #[source]
        source: reqwest::Error,
    },
    /// The coordinator refused, and said why.
    #[error("{} [{}]", .0.detail, .0.code)]
    Problem(Box<Problem>),
    /// A file on this machine.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// An answer that is neither what was asked for nor a problem.
    #[error("the answer to {what} cannot be read; is --server a Counterfactory coordinator of this version?")]
    Unreadable {
        /// The request.
        what: String,
        /// The trouble.
        #[source]
        source: reqwest::Error,
    },
}

/// Longest that one request waits because it is told to.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Tries before the coordinator counts as unreachable; a restart takes a second or two.
const TRIES: u32 = 4;

/// A connection to one coordinator, for one project.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    server: String,
    project: Option<String>,
    /// A note for the audit log.
    actor: String,
    /// `Bearer …`, marked as a secret.
    key: Option<HeaderValue>,
}

impl Client {
    /// A client for `server`, such as `http://127.0.0.1:8080`, that shows `key` and notes `actor` as who asks. Connects on first use.
    ///
    /// # Errors
    /// When the TLS set-up of this machine is broken.
    pub fn new(server: &str, project: Option<&str>, actor: Option<&str>, key: Option<&Secret>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            .user_agent(concat!("cfx/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let actor = actor.map(|name| name.chars().filter(char::is_ascii_graphic).take(100).collect::<String>());
        let actor = actor.filter(|name| !name.is_empty()).unwrap_or_else(|| "cfx".to_owned());
        let key = match key {
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal()))?;
                value.set_sensitive(true);
                if in_the_clear(server) {
                    crate::output::note(format!("cfx: the key goes to {server} in the clear; use https"));
                }
                Some(value)
            }
            None => None,
        };
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { http, server, project: project.map(str::to_owned), actor, key })
    }

    /// The address in use.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// GET, reading JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(path, self.send(path, || self.request(Method::GET, path)).await?).await
    }

    /// What a coordinator that can answer says of itself: `ready`, and what waits meanwhile if anything does.
    pub async fn ready(&self) -> Result<String, ClientError> {
        let answer = self.send("/readyz", || self.request(Method::GET, "/readyz")).await?;
        answer.text().await.map_err(|source| ClientError::Unreadable { what: "/readyz".to_owned(), source })
    }

    /// All rows of a paged list, at most `limit` (0 for all).
    pub async fn all<T: DeserializeOwned>(&self, path: &str, limit: u64) -> Result<Vec<T>, ClientError> {
        let mut rows = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let page_path = match &after {
                Some(cursor) => format!("{path}{joint}limit=500&after={cursor}"),
                None => format!("{path}{joint}limit=500"),
            };
            let page: Page<T> = self.get(&page_path).await?;
            rows.extend(page.items);
            if limit > 0 && rows.len() as u64 >= limit {
                rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                return Ok(rows);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// POST of JSON, reading JSON.
    pub async fn post<B: Serialize + Sync, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, ClientError> {
        self.read(path, self.send(path, || self.request(Method::POST, path).json(body)).await?).await
    }

    /// DELETE, reading JSON.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(path, self.send(path, || self.request(Method::DELETE, path)).await?).await
    }

    /// POST with an idempotency key: sending it again is the same request.
    pub async fn post_once<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        key: &str,
    ) -> Result<T, ClientError> {
        let build = || self.request(Method::POST, path).header("idempotency-key", key).json(body);
        self.read(path, self.send(path, build).await?).await
    }

    /// The output's reconstruction as it may leave, with a credential inside: signed for this, unless it was before.
    pub async fn signed_reconstruction(&self, result: &EditResult) -> Result<domain::Digest, ClientError> {
        match result.signed_reconstruction {
            Some(signed) => Ok(signed),
            None => Ok(self.companion(result.task, Companion::Reconstruction).await?.sha256),
        }
    }

    /// A file that the output's record names, as it may leave.
    pub async fn companion(&self, task: TaskId, companion: Companion) -> Result<SignedCompanion, ClientError> {
        self.get(&format!("/v1/results/{task}/companions/{}", companion.name())).await
    }

    /// True if the object of this digest is in the bucket.
    pub async fn has_blob(&self, digest: domain::Digest) -> Result<bool, ClientError> {
        let path = format!("/v1/blobs/{digest}");
        match self.send(&path, || self.request(Method::HEAD, &path)).await {
            Ok(_) => Ok(true),
            Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads an object under its digest.
    pub async fn put_blob(&self, digest: domain::Digest, bytes: Vec<u8>) -> Result<(), ClientError> {
        let path = format!("/v1/blobs/{digest}");
        let shared = bytes::Bytes::from(bytes);
        self.send(&path, || self.request(Method::PUT, &path).body(shared.clone())).await?;
        Ok(())
    }

    /// Uploads a file under its digest, in pieces: weights may be larger than the memory.
    pub async fn put_blob_file(&self, digest: domain::Digest, file: &Path) -> Result<(), ClientError> {
        let path = format!("/v1/blobs/{digest}");
        let unreadable = |source| ClientError::File { path: file.to_owned(), source };
        let size = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
        // Opened here once so that a missing file is no network trouble; each attempt opens it anew.
        tokio::fs::File::open(file).await.map_err(unreadable)?;
        let stream = || {
            let file = file.to_owned();
            let chunks = async move { tokio::fs::File::open(file).await.map(tokio_util::io::ReaderStream::new) };
            reqwest::Body::wrap_stream(futures_util::TryFutureExt::try_flatten_stream(chunks))
        };
        let length = reqwest::header::CONTENT_LENGTH;
        let long = std::time::Duration::from_secs(60) + std::time::Duration::from_millis(size / 1000);
        self.send(&path, || self.request(Method::PUT, &path).header(length.clone(), size).timeout(long).body(stream()))
            .await?;
        Ok(())
    }

    /// Bytes of an object; `None` if it is not there.
    pub async fn blob_size(&self, digest: domain::Digest) -> Result<Option<u64>, ClientError> {
        let path = format!("/v1/blobs/{digest}");
        match self.send(&path, || self.request(Method::HEAD, &path)).await {
            Ok(answer) => {
                let length = answer.headers().get(reqwest::header::CONTENT_LENGTH);
                Ok(length.and_then(|length| length.to_str().ok()?.parse().ok()))
            }
            Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Downloads an object by its digest.
    pub async fn blob(&self, digest: domain::Digest) -> Result<Vec<u8>, ClientError> {
        let path = format!("/v1/blobs/{digest}");
        let response = self.send(&path, || self.request(Method::GET, &path)).await?;
        let bytes = response.bytes().await;
        bytes.map(Into::into).map_err(|source| ClientError::Unreadable { what: path, source })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server)).header("cfx-actor", &self.actor);
        let request = match &self.project {
            Some(project) => request.header("cfx-project", project),
            None => request,
        };
        match &self.key {
            Some(key) => request.header(reqwest::header::AUTHORIZATION, key.clone()),
            None => request,
        }
    }

    /// Sends until an answer comes. Every request here is safe to repeat: reads, content-addressed writes, keyed submits and
    /// idempotent state changes.
    async fn send(&self, what: &str, build: impl Fn() -> RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let mut tries = 0;
        let mut waited = Duration::ZERO;
        loop {
            tries += 1;
            match build().send().await {
                // told to wait is not refused: a large upload goes on at the pace that is allowed
                Ok(response)
                    if waited < LONGEST_WAIT
                        && let Some(wait) = told_to_wait(&response) =>
                {
                    tries -= 1;
                    waited += wait;
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if retryable(response.status()) && tries < TRIES => {}
                Ok(response) => return Err(self.refusal(what, response).await),
                Err(_) if tries < TRIES => {}
                Err(source) => return Err(ClientError::Unreachable { server: self.server.clone(), source }),
            }
            tokio::time::sleep(Duration::from_millis(150 << tries)).await;
        }
    }

    async fn refusal(&self, what: &str, response: reqwest::Response) -> ClientError {
        let status = response.status();
        match response.json::<Problem>().await {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            // an answer to HEAD has no body; another server's error page has no problem in it
            Err(_) => ClientError::Problem(Box::new(Problem {
                kind: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or("error").to_owned(),
                status: status.as_u16(),
                detail: match status {
                    StatusCode::UNAUTHORIZED => {
                        format!("{} wants an API key; try `cfx login`, or CFX_API_KEY_FILE", self.server)
                    }
                    _ => format!("{} answered {status} to {what}", self.server),
                },
                code: "http_error".to_owned(),
            })),
        }
    }

    async fn read<T: DeserializeOwned>(&self, what: &str, response: reqwest::Response) -> Result<T, ClientError> {
        response.json().await.map_err(|source| ClientError::Unreadable { what: what.to_owned(), source })
    }
}

/// How long a coordinator that is asked too often wants to be left alone.
fn told_to_wait(response: &reqwest::Response) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let seconds: u64 = response.headers().get(reqwest::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds.clamp(1, 60)))
}

/// True for an address that others on the way can read along with.
fn in_the_clear(server: &str) -> bool {
    let Ok(address) = server.parse::<reqwest::Url>() else { return false };
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let own = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    address.scheme() == "http" && !own
}

const fn retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
    )
}
