//! Settings: flags, then `CFX_*` in the environment, then one TOML file, then the defaults written here with their reasons.
//! Secrets may also come from a file (`*_FILE`), as orchestrators mount them.

mod access;

pub use access::{Access, AccessSettings, Auth, OidcSettings};

use crate::duration;
use credentials::Signer;
use domain::RetryPolicy;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use telemetry::TraceSettings;

/// Every setting as it may be given, none of them required here: [`Config::resolve`] says what is missing.
#[derive(clap::Args, Deserialize, Debug, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A TOML file with any of these settings (same names, underscores for hyphens).
    #[arg(long, env = "CFX_CONFIG", global = true)]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Address and port to listen on. [default: 127.0.0.1:8080]
    #[arg(long, env = "CFX_LISTEN", global = true)]
    pub listen: Option<SocketAddr>,
    /// postgres://user:password@host:port/database
    #[arg(long, env = "CFX_DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// A file that holds the database URL.
    #[arg(long, env = "CFX_DATABASE_URL_FILE", global = true)]
    pub database_url_file: Option<PathBuf>,
    /// Connections kept to the database. [default: 16]
    #[arg(long, env = "CFX_DATABASE_CONNECTIONS", global = true)]
    pub database_connections: Option<u32>,
    /// amqp://user:password@host:port/vhost
    #[arg(long, env = "CFX_BROKER_URL", global = true, hide_env_values = true)]
    pub broker_url: Option<String>,
    /// A file that holds the broker URL.
    #[arg(long, env = "CFX_BROKER_URL_FILE", global = true)]
    pub broker_url_file: Option<PathBuf>,
    /// The bucket that holds every artifact.
    #[arg(long, env = "CFX_S3_BUCKET", global = true)]
    pub s3_bucket: Option<String>,
    /// Endpoint of the S3 service; AWS when absent.
    #[arg(long, env = "CFX_S3_ENDPOINT", global = true)]
    pub s3_endpoint: Option<String>,
    /// The same as users reach it, for addresses under which they upload. [default: the endpoint]
    #[arg(long, env = "CFX_S3_PUBLIC_ENDPOINT", global = true)]
    pub s3_public_endpoint: Option<String>,
    /// Region. [default: us-east-1]
    #[arg(long, env = "CFX_S3_REGION", global = true)]
    pub s3_region: Option<String>,
    /// Bucket in the path, not in the host name: what most self-hosted services need. [default: false]
    #[arg(long, env = "CFX_S3_PATH_STYLE", global = true)]
    pub s3_path_style: Option<bool>,
    /// Access key.
    #[arg(long, env = "CFX_S3_ACCESS_KEY", global = true, hide_env_values = true)]
    pub s3_access_key: Option<String>,
    /// A file that holds the access key.
    #[arg(long, env = "CFX_S3_ACCESS_KEY_FILE", global = true)]
    pub s3_access_key_file: Option<PathBuf>,
    /// Secret key.
    #[arg(long, env = "CFX_S3_SECRET_KEY", global = true, hide_env_values = true)]
    pub s3_secret_key: Option<String>,
    /// A file that holds the secret key.
    #[arg(long, env = "CFX_S3_SECRET_KEY_FILE", global = true)]
    pub s3_secret_key_file: Option<PathBuf>,
    /// A file with the certificates of the key that signs results, PEM, the key's own first. [default: a key of the installation's
    /// own, made on first use and kept in the database]
    #[arg(long, env = "CFX_SIGNING_CERTIFICATE_FILE", global = true)]
    pub signing_certificate_file: Option<PathBuf>,
    /// The same as a text.
    #[arg(long, env = "CFX_SIGNING_CERTIFICATE", global = true, hide_env_values = true)]
    pub signing_certificate: Option<String>,
    /// A file with the private key, PEM (PKCS#8), P-256 or Ed25519.
    #[arg(long, env = "CFX_SIGNING_KEY_FILE", global = true)]
    pub signing_key_file: Option<PathBuf>,
    /// The same as a text.
    #[arg(long, env = "CFX_SIGNING_KEY", global = true, hide_env_values = true)]
    pub signing_key: Option<String>,
    /// A program that keeps the key: run by `sh -c`, it gets the bytes to sign on its standard input and answers with the raw signature.
    #[arg(long, env = "CFX_SIGNING_COMMAND", global = true)]
    pub signing_command: Option<String>,
    /// Address of an OpenLineage service, such as http://marquez:5000, to be told of jobs that begin and end. [default: none]
    #[arg(long, env = "OPENLINEAGE_URL", global = true)]
    pub openlineage_url: Option<String>,
    /// Path of its endpoint. [default: api/v1/lineage]
    #[arg(long, env = "OPENLINEAGE_ENDPOINT", global = true)]
    pub openlineage_endpoint: Option<String>,
    /// Namespace of jobs and datasets there. [default: counterfactory]
    #[arg(long, env = "OPENLINEAGE_NAMESPACE", global = true)]
    pub openlineage_namespace: Option<String>,
    /// Its bearer token.
    #[arg(long, env = "OPENLINEAGE_API_KEY", global = true, hide_env_values = true)]
    pub openlineage_api_key: Option<String>,
    /// A file that holds the token.
    #[arg(long, env = "OPENLINEAGE_API_KEY_FILE", global = true)]
    pub openlineage_api_key_file: Option<PathBuf>,
    /// Where traces go.
    #[command(flatten)]
    #[serde(flatten)]
    pub traces: TraceSettings,
    /// What to log: `level` or `target=level,…`. [default: info]
    #[arg(long, env = "CFX_LOG", global = true)]
    pub log: Option<String>,
    /// `text` for people, `json` for machines. [default: text]
    #[arg(long, env = "CFX_LOG_FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Who may come in.
    #[command(flatten)]
    pub access: AccessSettings,
    /// Limits of the HTTP interface.
    #[arg(skip)]
    pub limits: Limits,
    /// Sizes and paces of the loops.
    #[arg(skip)]
    pub tuning: Tuning,
}

/// What one request may cost.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest JSON body in bytes: 5,000 sources with long URIs and labels fit into 8 MiB.
    pub json_bytes: usize,
    /// Largest uploaded object in bytes. It passes through a temporary file; the networks of a large pack are the largest thing
    /// anyone uploads.
    pub blob_bytes: usize,
    /// Largest image in bytes that an import from a bucket takes; these are read into memory.
    pub image_bytes: usize,
    /// A request that takes longer is answered with a problem.
    #[serde(deserialize_with = "duration::deserialize")]
    pub request_timeout: Duration,
    /// Whoever sends nothing of a body for this long is given up.
    #[serde(deserialize_with = "duration::deserialize")]
    pub body_idle: Duration,
    /// The head of a request, or the next request of a connection, must be there within this time.
    #[serde(deserialize_with = "duration::deserialize")]
    pub header_timeout: Duration,
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// Requests in work at once; more wait a moment and are then refused. Strangers have an eighth as many places of their own.
    pub concurrent_requests: usize,
    /// Requests that one key may send in a second, for any length of time: more than an upload of small images at full speed.
    pub requests_per_second: u32,
    /// Requests that it may send at once after a pause.
    pub request_burst: u32,
    /// Wrong keys from one address in a minute before it is told to wait. Nobody guesses a key; this keeps the log readable.
    pub wrong_keys_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes: 8 << 20,
            blob_bytes: 8 << 30,
            image_bytes: 512 << 20,
            request_timeout: Duration::from_secs(60),
            body_idle: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            connections: 4_096,
            concurrent_requests: 512,
            requests_per_second: 500,
            request_burst: 2_000,
            wrong_keys_per_minute: 30,
        }
    }
}

/// Sizes and paces of the loops. Tests shorten the times; nothing depends on them but latency.
#[derive(Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// Rows per enqueue transaction: large enough for COPY to pay, small enough that a commit takes about a second.
    pub slice_rows: usize,
    /// Batches per live worker slot kept outside Postgres. Two keep a worker busy while the next one travels; the third
    /// covers a slow round trip. More would only make pause, cancel and fairness slower.
    pub window: u32,
    /// Slots of one worker: one batch on the GPU. What it stages beyond that comes out of the window.
    pub slots_per_worker: u32,
    /// Sources per inversion batch.
    pub batch_invert: u32,
    /// Latents per batch of a method that needs one forward pass each.
    pub batch_mapper: u32,
    /// Latents per batch of a method that optimises each of them.
    pub batch_optimise: u32,
    /// Where the three sizes above take less of a worker's time than this, by what such work has cost, batches are larger: cheap
    /// tasks are not to cost more on their way than on the device. Short enough for a pause or a fair share to show soon.
    #[serde(deserialize_with = "duration::deserialize")]
    pub batch_time: Duration,
    /// Most tasks of such a batch.
    pub batch_most: u32,
    /// Work messages in the outbox from which on nothing more is handed out: far more than the relay ever leaves behind, and far fewer
    /// than would take long to send once the broker is back.
    pub outbox_bound: i64,
    /// Longest wait of the dispatcher, relay and enqueuer when nobody wakes them.
    #[serde(deserialize_with = "duration::deserialize")]
    pub poll: Duration,
    /// Pace of the reconcilers.
    #[serde(deserialize_with = "duration::deserialize")]
    pub sweep: Duration,
    /// A worker unseen for this long is lost: four heartbeats and a half.
    #[serde(deserialize_with = "duration::deserialize")]
    pub worker_lost: Duration,
    /// A worker whose connection to RabbitMQ has been gone for this long is lost too: one that lives connects again sooner.
    #[serde(deserialize_with = "duration::deserialize")]
    pub worker_gone: Duration,
    /// A hand-out that no worker started for this long is made ready again. That costs nothing but a void message, should the
    /// first one still arrive, and it is how long a broker that lost its queues delays a job.
    #[serde(deserialize_with = "duration::deserialize")]
    pub never_started: Duration,
    /// Longest pause before a failed task is tried again; the first is a second at most, and the ceiling doubles.
    #[serde(deserialize_with = "duration::deserialize")]
    pub retry_cap: Duration,
    /// Attempt rows older than this are dropped.
    #[serde(deserialize_with = "duration::deserialize")]
    pub keep_attempts: Duration,
    /// Tasks of jobs that ended longer ago than this are dropped, 64 jobs at a time; their results and records stay. Absent: never,
    /// because nothing brings them back.
    #[serde(deserialize_with = "duration::deserialize_some")]
    pub keep_tasks: Option<Duration>,
    /// Whether ended jobs are sealed.
    pub seal: bool,
    /// After the first signal, loops get this long to finish their step.
    #[serde(deserialize_with = "duration::deserialize")]
    pub shutdown: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            slice_rows: 50_000,
            window: 3,
            slots_per_worker: 1,
            batch_invert: 16,
            batch_mapper: 16,
            batch_optimise: 8,
            batch_time: Duration::from_secs(2),
            batch_most: 64,
            outbox_bound: 1_000,
            poll: Duration::from_millis(500),
            sweep: Duration::from_secs(1),
            worker_lost: Duration::from_secs(45),
            worker_gone: Duration::from_secs(3),
            never_started: Duration::from_secs(180),
            retry_cap: RetryPolicy::default().cap,
            keep_attempts: Duration::from_secs(7 * 86_400),
            keep_tasks: None,
            seal: true,
            shutdown: Duration::from_secs(20),
        }
    }
}

impl Tuning {
    /// How often and how soon failed tasks are tried again.
    pub fn retries(&self) -> RetryPolicy {
        RetryPolicy { cap: self.retry_cap, ..RetryPolicy::default() }
    }
}

/// Where the bucket is and how to speak to it.
#[derive(Clone)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Endpoint; AWS when absent.
    pub endpoint: Option<String>,
    /// The same as users reach it, where that is another; for addresses that are given to them.
    pub public_endpoint: Option<String>,
    /// Region.
    pub region: String,
    /// Bucket in the path.
    pub path_style: bool,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
}

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

/// Settings that are complete.
#[derive(Clone)]
pub struct Config {
    /// Address to listen on; loopback unless told otherwise.
    pub listen: SocketAddr,
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

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// The value itself, or the contents of the file that holds it, without the line end editors add.
fn secret(value: Option<String>, file: Option<&PathBuf>) -> Result<Option<String>, ConfigError> {
    match (value, file) {
        (Some(value), _) => Ok(Some(value)),
        (None, Some(path)) => Ok(Some(read(path)?.trim_end_matches(['\r', '\n']).to_owned())),
        (None, None) => Ok(None),
    }
}

impl Settings {
    /// Fills what flags and environment left open from the settings file, if one is named.
    ///
    /// # Errors
    /// When the file cannot be read or holds an unknown or malformed setting.
    pub fn with_file(self) -> Result<Self, ConfigError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let file: Self = toml::from_str(&read(&path)?)
            .map_err(|source| ConfigError::Malformed { path: path.clone(), source: Box::new(source) })?;
        // A secret given as a flag must also win over a *_file in the settings file, so each pair is taken from one layer.
        let pair = |value: Option<String>, from: Option<PathBuf>, fv, ff| {
            if value.is_some() || from.is_some() { (value, from) } else { (fv, ff) }
        };
        let (database_url, database_url_file) =
            pair(self.database_url, self.database_url_file, file.database_url, file.database_url_file);
        let (broker_url, broker_url_file) =
            pair(self.broker_url, self.broker_url_file, file.broker_url, file.broker_url_file);
        let (s3_access_key, s3_access_key_file) =
            pair(self.s3_access_key, self.s3_access_key_file, file.s3_access_key, file.s3_access_key_file);
        let (signing_certificate, signing_certificate_file) = pair(
            self.signing_certificate,
            self.signing_certificate_file,
            file.signing_certificate,
            file.signing_certificate_file,
        );
        let (signing_key, signing_key_file) =
            pair(self.signing_key, self.signing_key_file, file.signing_key, file.signing_key_file);
        let (s3_secret_key, s3_secret_key_file) =
            pair(self.s3_secret_key, self.s3_secret_key_file, file.s3_secret_key, file.s3_secret_key_file);
        let (openlineage_api_key, openlineage_api_key_file) = pair(
            self.openlineage_api_key,
            self.openlineage_api_key_file,
            file.openlineage_api_key,
            file.openlineage_api_key_file,
        );
        Ok(Self {
            config: Some(path),
            listen: self.listen.or(file.listen),
            database_url,
            database_url_file,
            database_connections: self.database_connections.or(file.database_connections),
            broker_url,
            broker_url_file,
            s3_bucket: self.s3_bucket.or(file.s3_bucket),
            s3_endpoint: self.s3_endpoint.or(file.s3_endpoint),
            s3_public_endpoint: self.s3_public_endpoint.or(file.s3_public_endpoint),
            s3_region: self.s3_region.or(file.s3_region),
            s3_path_style: self.s3_path_style.or(file.s3_path_style),
            s3_access_key,
            s3_access_key_file,
            s3_secret_key,
            s3_secret_key_file,
            signing_certificate,
            signing_certificate_file,
            signing_key,
            signing_key_file,
            signing_command: self.signing_command.or(file.signing_command),
            openlineage_url: self.openlineage_url.or(file.openlineage_url),
            openlineage_endpoint: self.openlineage_endpoint.or(file.openlineage_endpoint),
            openlineage_namespace: self.openlineage_namespace.or(file.openlineage_namespace),
            openlineage_api_key,
            openlineage_api_key_file,
            traces: self.traces.or(file.traces),
            log: self.log.or(file.log),
            log_format: self.log_format.or(file.log_format),
            access: self.access.or(file.access),
            limits: file.limits,
            tuning: file.tuning,
        })
    }

    /// The database URL alone, for verbs that need nothing else.
    ///
    /// # Errors
    /// When it is not set.
    pub fn database(&self) -> Result<String, ConfigError> {
        let missing = ConfigError::Missing { name: "database_url", flag: "database-url", env: "CFX_DATABASE_URL" };
        secret(self.database_url.clone(), self.database_url_file.as_ref())?.ok_or(missing)
    }

    /// The key that signs, if one is configured.
    ///
    /// # Errors
    /// When it is incomplete or unreadable.
    pub fn signer(&self) -> Result<Option<Signer>, ConfigError> {
        let certificate = secret(self.signing_certificate.clone(), self.signing_certificate_file.as_ref())?;
        let key = secret(self.signing_key.clone(), self.signing_key_file.as_ref())?;
        let command = self.signing_command.as_deref();
        Ok(credentials::keys::configured(certificate.as_deref(), key.as_deref(), command)?)
    }

    /// The bucket, for verbs that need no broker.
    ///
    /// # Errors
    /// When its name or one of the two keys is not set.
    pub fn bucket(&self) -> Result<Bucket, ConfigError> {
        let missing = |name, flag, env| ConfigError::Missing { name, flag, env };
        let access = secret(self.s3_access_key.clone(), self.s3_access_key_file.as_ref())?;
        let secret = secret(self.s3_secret_key.clone(), self.s3_secret_key_file.as_ref())?;
        let name = self.s3_bucket.clone();
        Ok(Bucket {
            name: name.ok_or_else(|| missing("s3_bucket", "s3-bucket", "CFX_S3_BUCKET"))?,
            endpoint: self.s3_endpoint.clone(),
            public_endpoint: self.s3_public_endpoint.clone(),
            region: self.s3_region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            path_style: self.s3_path_style.unwrap_or(false),
            access_key: access.ok_or_else(|| missing("s3_access_key", "s3-access-key", "CFX_S3_ACCESS_KEY"))?,
            secret_key: secret.ok_or_else(|| missing("s3_secret_key", "s3-secret-key", "CFX_S3_SECRET_KEY"))?,
        })
    }
}

impl Settings {
    /// Who is told of jobs; nobody without an address.
    fn lineage(&self) -> Result<Option<Lineage>, ConfigError> {
        let Some(url) = self.openlineage_url.as_deref().filter(|url| !url.is_empty()) else { return Ok(None) };
        let path = self.openlineage_endpoint.as_deref().unwrap_or("api/v1/lineage");
        Ok(Some(Lineage {
            endpoint: format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/')),
            namespace: self.openlineage_namespace.clone().unwrap_or_else(|| "counterfactory".to_owned()),
            api_key: secret(self.openlineage_api_key.clone(), self.openlineage_api_key_file.as_ref())?,
        }))
    }
}

impl Config {
    /// The complete settings, or the first one that is missing.
    ///
    /// # Errors
    /// Names the setting and the ways to give it.
    pub fn resolve(settings: &Settings) -> Result<Self, ConfigError> {
        let missing = ConfigError::Missing { name: "broker_url", flag: "broker-url", env: "CFX_BROKER_URL" };
        Ok(Self {
            listen: settings.listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080)),
            database_url: settings.database()?,
            database_connections: settings.database_connections.unwrap_or(16),
            broker_url: secret(settings.broker_url.clone(), settings.broker_url_file.as_ref())?.ok_or(missing)?,
            bucket: settings.bucket()?,
            signer: settings.signer()?,
            lineage: settings.lineage()?,
            access: settings.access.resolve()?,
            limits: settings.limits,
            tuning: settings.tuning.clone(),
        })
    }
}

/// How this process presents itself to RabbitMQ.
pub fn broker(config: &Config) -> broker::BrokerConfig {
    broker::BrokerConfig::new(config.broker_url.clone(), format!("coordinator {}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
