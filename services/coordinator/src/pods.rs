//! Tells Kubernetes which workers to spare when it takes some away: the annotation
//! [`controller.kubernetes.io/pod-deletion-cost`](https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost).
//!
//! One call of its API and no more, so a client of all of it would be out of proportion. Workers cannot do it themselves: they reach
//! the broker and the bucket, and nothing else.

use crate::config::Kubernetes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, StatusCode};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Nothing waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A pod's cost was not set.
#[derive(Debug, thiserror::Error)]
pub enum PodsError {
    /// The service account's files are not as Kubernetes leaves them.
    #[error("{} cannot be read; is automountServiceAccountToken on for the coordinator?", path.display())]
    Account {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The API server's certificates, or this machine's, are of no use.
    #[error("there is no TLS for the API server of Kubernetes")]
    Tls(#[source] reqwest::Error),
    /// The API server does not answer, or has a trouble of its own.
    #[error("the API server of Kubernetes does not answer")]
    Unavailable(#[source] reqwest::Error),
    /// It says no.
    #[error(
        "Kubernetes answers {status} to a change of pod {pod}; may the service account patch pods? It said: {said}"
    )]
    Refused {
        /// The pod.
        pod: String,
        /// The answer.
        status: StatusCode,
        /// The beginning of its words.
        said: String,
    },
}

/// The pods of the coordinator's own namespace.
#[derive(Debug)]
pub struct Pods {
    http: Client,
    server: String,
    namespace: String,
    token: PathBuf,
}

impl Pods {
    /// Reads what the service account needs. Connects on first use.
    ///
    /// # Errors
    /// When its files are missing or hold something else.
    pub fn open(settings: &Kubernetes) -> Result<Self, PodsError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let Kubernetes { server, account } = settings;
        let roots = Certificate::from_pem_bundle(read(&account.join("ca.crt"))?.as_bytes()).map_err(PodsError::Tls)?;
        let http = Client::builder().tls_certs_only(roots).timeout(TIMEOUT).build().map_err(PodsError::Tls)?;
        let namespace = read(&account.join("namespace"))?.trim().to_owned();
        Ok(Self { http, server: server.clone(), namespace, token: account.join("token") })
    }

    /// Sets what it costs to delete a pod; those that cost least go first. False if there is no such pod.
    ///
    /// # Errors
    /// When the API server is away, or refuses.
    pub async fn set_cost(&self, pod: &str, cost: i32) -> Result<bool, PodsError> {
        let address = format!("{}/api/v1/namespaces/{}/pods/{pod}", self.server, self.namespace);
        let patch = json!({ "metadata": { "annotations": { ANNOTATION: cost.to_string() } } });
        // Kubernetes renews the token in place, so it is read every time
        let token = read(&self.token)?;
        // before the body, which brings a type of its own where there is none
        let request = self.http.patch(address).header(CONTENT_TYPE, "application/merge-patch+json");
        let request = request.bearer_auth(token.trim()).json(&patch);
        let answer = request.send().await.map_err(PodsError::Unavailable)?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_client_error() => {
                let said: String = answer.text().await.unwrap_or_default().chars().take(200).collect();
                Err(PodsError::Refused { pod: pod.to_owned(), status, said })
            }
            _ => answer.error_for_status().map(|_| true).map_err(PodsError::Unavailable),
        }
    }
}

fn read(path: &Path) -> Result<String, PodsError> {
    std::fs::read_to_string(path).map_err(|source| PodsError::Account { path: path.to_owned(), source })
}
