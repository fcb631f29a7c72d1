//! Where the coordinator runs beside its workers on Kubernetes, and may tell it which of them to spare.

use super::{ConfigError, Settings};
use std::path::PathBuf;

/// Where Kubernetes puts what a pod's service account needs.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The API server as a pod sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kubernetes {
    /// For example `https://10.96.0.1:443`.
    pub server: String,
    /// The folder with `token`, `ca.crt` and `namespace`.
    pub account: PathBuf,
}

impl Settings {
    /// The API server, where it is wanted.
    pub(super) fn kubernetes(&self) -> Result<Option<Kubernetes>, ConfigError> {
        if !self.pod_deletion_cost.unwrap_or(false) {
            return Ok(None);
        }
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (Some(host), Some(port)) = (given("KUBERNETES_SERVICE_HOST"), given("KUBERNETES_SERVICE_PORT")) else {
            return Err(ConfigError::NotInAPod);
        };
        // an IPv6 address needs brackets in a URL
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Some(Kubernetes { server: format!("https://{host}:{port}"), account: PathBuf::from(ACCOUNT) }))
    }
}
