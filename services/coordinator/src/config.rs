//! Settings: flags, then `CFX_*` in the environment, then one TOML file, then the defaults written here with their reasons.
//! Secrets may also come from a file (`*_FILE`), as orchestrators mount them.

mod access;
mod bucket;
mod kubernetes;
mod limits;
mod lineage;
mod settings;
mod tls;
mod tuning;

pub use access::{Access, AccessSettings, Auth, OidcSettings};
pub use bucket::Bucket;
pub use kubernetes::Kubernetes;
pub use limits::Limits;
pub use lineage::Lineage;
pub use settings::Settings;
pub use tls::Tls;
pub use tuning::Tuning;

use credentials::Signer;
use settings::secret;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Settings that are complete.
#[derive(Clone)]
pub struct Config {
    /// Address to listen on; loopback unless told otherwise.
    pub listen: SocketAddr,
    /// The certificate it answers with; none where it speaks HTTP in the clear.
    pub tls: Option<Tls>,
    /// Postgres.
    pub database_url: String,
    /// Connections kept to it.
    pub database_connections: u32,
    /// RabbitMQ.
    pub broker_url: String,
    /// S3.
    pub bucket: Bucket,
    /// The key that signs, if one is configured.
    pub signer: Option<Signer>,
    /// OpenLineage, where it is wanted.
    pub lineage: Option<Lineage>,
    /// Kubernetes, where it is told which workers to spare.
    pub kubernetes: Option<Kubernetes>,
    /// Who may come in.
    pub access: Access,
    /// What one request may cost.
    pub limits: Limits,
    /// Sizes and paces of the loops.
    pub tuning: Tuning,
}

/// A setting that is missing or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A required setting was not given.
    #[error(
        "{name} is not set; give --{flag}, or {env} in the environment, or {env}_FILE, or `{name}` in the settings file"
    )]
    Missing {
        /// Name in the file.
        name: &'static str,
        /// Name of the flag.
        flag: &'static str,
        /// Name in the environment.
        env: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An OpenID Connect provider that would be asked in the clear.
    #[error("oidc_issuer is {0}; it must be an https:// address, since whoever alters its answers lets anybody in")]
    InsecureIssuer(String),
    /// Costs of pods without pods.
    #[error(
        "pod_deletion_cost is set, but this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not there; leave CFX_POD_DELETION_COST out"
    )]
    NotInAPod,
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] credentials::KeyError),
    /// A settings file with a mistake in it.
    #[error("{path} is not a valid settings file")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
}

impl Config {
    /// The complete settings, or the first one that is missing.
    ///
    /// # Errors
    /// Names the setting and the ways to give it.
    pub fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let missing = ConfigError::Missing { name: "broker_url", flag: "broker-url", env: "CFX_BROKER_URL" };
        let (tls, access) = (settings.tls()?, settings.access.resolve()?);
        Ok(Self {
            listen: settings.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)),
            database_url: settings.database()?,
            database_connections: settings.database_connections.unwrap_or(16),
            broker_url: secret(settings.broker_url.clone(), settings.broker_url_file.as_ref())?.ok_or(missing)?,
            bucket: settings.bucket()?,
            signer: settings.signer()?,
            lineage: settings.lineage()?,
            kubernetes: settings.kubernetes()?,
            access: Access { https: tls.is_some() || access.https, ..access },
            tls,
            limits: settings.limits,
            tuning: settings.tuning.clone(),
        })
    }
}

/// How this process presents itself to RabbitMQ.
pub fn broker(config: &Config) -> broker::BrokerConfig {
    broker::BrokerConfig::new(&config.broker_url, format!("coordinator {}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn complete() -> Settings {
        Settings {
            database_url: Some("postgres://db".into()),
            broker_url: Some("amqp://broker".into()),
            s3_bucket: Some("b".into()),
            s3_access_key: Some("key".into()),
            s3_secret_key: Some("secret".into()),
            ..Settings::default()
        }
    }

    #[test]
    fn a_missing_setting_is_named_with_every_way_to_give_it() {
        let error = Config::resolve(&Settings { broker_url: None, ..complete() }).err().unwrap().to_string();
        for way in ["--broker-url", "CFX_BROKER_URL", "CFX_BROKER_URL_FILE", "`broker_url`"] {
            assert!(error.contains(way), "{error}");
        }
    }

    #[test]
    fn flags_win_over_the_file_and_unknown_names_are_refused() {
        let folder = std::env::temp_dir().join(format!("cfx-config-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("cfx.toml");
        std::fs::write(
            &file,
            "listen = \"0.0.0.0:1\"\ndatabase_url = \"postgres://file\"\n[tuning]\npoll = \"20ms\"\n",
        )
        .unwrap();
        let given = |file| Settings { config: Some(file), ..complete() }.with_file();
        let config = Config::resolve(&given(file.clone()).unwrap()).ok().unwrap();
        assert_eq!(config.database_url, "postgres://db");
        assert_eq!(config.listen.to_string(), "0.0.0.0:1");
        assert_eq!(config.tuning.poll, Duration::from_millis(20));
        std::fs::write(&file, "databse_url = \"x\"\n").unwrap();
        assert!(matches!(given(file), Err(ConfigError::Malformed { .. })));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn lineage_is_told_to_an_address_only() {
        assert!(Config::resolve(&complete()).ok().unwrap().lineage.is_none());
        let given = Settings { openlineage_url: Some("http://marquez:5000/".into()), ..complete() };
        let lineage = Config::resolve(&given).ok().unwrap().lineage.unwrap();
        assert_eq!(
            (lineage.endpoint.as_str(), lineage.namespace.as_str()),
            ("http://marquez:5000/api/v1/lineage", "counterfactory")
        );
    }

    #[test]
    fn a_secret_in_a_file_loses_its_line_end() {
        let file = std::env::temp_dir().join(format!("cfx-secret-{}", uuid::Uuid::new_v4()));
        std::fs::write(&file, "postgres://secret\n").unwrap();
        let settings = Settings { database_url: None, database_url_file: Some(file.clone()), ..complete() };
        assert_eq!(settings.database().unwrap(), "postgres://secret");
        std::fs::remove_file(file).unwrap();
    }
}
