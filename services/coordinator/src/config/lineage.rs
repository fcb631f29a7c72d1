//! Who is told of jobs (OpenLineage).

use super::settings::secret;
use super::{ConfigError, Settings};

/// Who is told of jobs. The variables of the environment are those of OpenLineage's own clients.
#[derive(Clone)]
pub struct Lineage {
    /// Where events are posted.
    pub endpoint: String,
    /// Namespace of jobs and datasets.
    pub namespace: String,
    /// Bearer token.
    pub api_key: Option<String>,
}

impl std::fmt::Debug for Lineage {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lineage").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
impl Settings {
    /// Who is told of jobs; nobody without an address.
    pub(super) fn lineage(&self) -> Result<Option<Lineage>, ConfigError> {
        let Some(url) = self.openlineage_url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let path = self.openlineage_endpoint.as_deref().unwrap_or("api/v1/lineage");
        Ok(Some(Lineage {
            endpoint: format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/')),
            namespace: self.openlineage_namespace.clone().unwrap_or_else(|| "counterfactory".to_owned()),
            api_key: secret(self.openlineage_api_key.clone(), self.openlineage_api_key_file.as_ref())?,
        }))
    }
}
