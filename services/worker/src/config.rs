//! Settings: flags, then `CFX_*` in the environment, then one TOML file, then the defaults written here with their reasons.
//! Secrets may also come from a file (`*_FILE`), as orchestrators mount them.

use crate::pipeline::{Null, UnknownExecutor};
use crate::stages::watermark::Watermarker;
use artifacts::S3Config;
use broker::BrokerConfig;
use domain::Precision;
use networks::device::{self, Convolutions, DeviceChoice, Products};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use telemetry::{LogConfig, TraceSettings};

/// Every setting as it may be given, none of them required here: [`Config::resolve`] says what is missing.
#[derive(clap::Args, Deserialize, Debug, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A TOML file with any of these settings (same names, underscores for hyphens).
    #[arg(long, env = "CFX_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// amqp://user:password@host:port/vhost, or amqps://; one for each node of a cluster, separated by commas.
    #[arg(long, env = "CFX_BROKER_URL", hide_env_values = true)]
    pub broker_url: Option<String>,
    /// A file that holds the broker URL.
    #[arg(long, env = "CFX_BROKER_URL_FILE")]
    pub broker_url_file: Option<PathBuf>,
    /// The bucket that holds every artifact.
    #[arg(long, env = "CFX_S3_BUCKET")]
    pub s3_bucket: Option<String>,
    /// Endpoint of the S3 service; AWS when absent.
    #[arg(long, env = "CFX_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,
    /// Region. [default: us-east-1]
    #[arg(long, env = "CFX_S3_REGION")]
    pub s3_region: Option<String>,
    /// Bucket in the path, not in the host name: what most self-hosted services need. [default: false]
    #[arg(long, env = "CFX_S3_PATH_STYLE")]
    pub s3_path_style: Option<bool>,
    /// Access key.
    #[arg(long, env = "CFX_S3_ACCESS_KEY", hide_env_values = true)]
    pub s3_access_key: Option<String>,
    /// A file that holds the access key.
    #[arg(long, env = "CFX_S3_ACCESS_KEY_FILE")]
    pub s3_access_key_file: Option<PathBuf>,
    /// Secret key.
    #[arg(long, env = "CFX_S3_SECRET_KEY", hide_env_values = true)]
    pub s3_secret_key: Option<String>,
    /// A file that holds the secret key.
    #[arg(long, env = "CFX_S3_SECRET_KEY_FILE")]
    pub s3_secret_key_file: Option<PathBuf>,
    /// Queue class to serve: workers of one class are interchangeable. [default: cpu]
    #[arg(long, env = "CFX_CLASS")]
    pub class: Option<String>,
    /// `cpu`, `cuda` or `cuda:N`. [default: cpu]
    #[arg(long, env = "CFX_DEVICE")]
    pub device: Option<String>,
    /// `sleep:50ms`: compute nothing, take this time for an item, and store one black pixel with a record that says so. For
    /// measuring the engine, on an installation of its own; not together with a device.
    #[arg(long, env = "CFX_EXECUTOR")]
    pub executor: Option<String>,
    /// CPU threads of one operation. Several workers with one thread each are faster than one with several. [default: 1]
    #[arg(long, env = "CFX_THREADS")]
    pub threads: Option<usize>,
    /// How wide convolutions are computed on a CPU: `winograd`, or `direct`, which rounds less and is slower. [default: winograd]
    #[arg(long, env = "CFX_CONVOLUTIONS")]
    pub convolutions: Option<String>,
    /// Longest time mapper training runs before it stops at a checkpoint. [default: 600]
    #[arg(long, env = "CFX_SLICE_SECONDS")]
    pub slice_seconds: Option<u64>,
    /// After SIGTERM, how long the running batch may take to finish before it is handed back. [default: 60]
    #[arg(long, env = "CFX_GRACE_SECONDS")]
    pub grace_seconds: Option<u64>,
    /// Seconds between heartbeats. A worker unseen for 45 s is lost. [default: 10]
    #[arg(long, env = "CFX_HEARTBEAT_SECONDS")]
    pub heartbeat_seconds: Option<u64>,
    /// Folder for packs fetched from the bucket. [default: counterfactory under the user's cache folder]
    #[arg(long, env = "CFX_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Most bytes kept there; the files unused for longest go first. [default: 20 GB]
    #[arg(long, env = "CFX_CACHE_BYTES")]
    pub cache_bytes: Option<u64>,
    /// Packs kept loaded on the device. [default: 2]
    #[arg(long, env = "CFX_PACKS_LOADED")]
    pub packs_loaded: Option<usize>,
    /// Who signs images: `coordinators`, a key of this worker's own (implied by a certificate), or `off`. [default: coordinators]
    #[arg(long, env = "CFX_SIGNING")]
    pub signing: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub key: KeySettings,
    /// A program that puts a watermark into images: run by `sh -c`, it gets a PNG on its standard input and answers with a PNG of
    /// the same size. Each record names it.
    #[arg(long, env = "CFX_WATERMARK_COMMAND")]
    pub watermark_command: Option<String>,
    /// Name and version of the watermark, for the records. [default: the command]
    #[arg(long, env = "CFX_WATERMARK_NAME", requires = "watermark_command")]
    pub watermark_name: Option<String>,
    /// Where metrics and probes are answered, for example `0.0.0.0:9464`: `/metrics`, `/healthz`, `/readyz`. [default: nowhere]
    #[arg(long, env = "CFX_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces go.
    #[command(flatten)]
    #[serde(flatten)]
    pub traces: TraceSettings,
    /// What to log: `level` or `target=level,…`. [default: info]
    #[arg(long, env = "CFX_LOG")]
    pub log: Option<String>,
    /// `text` for people, `json` for machines. [default: text]
    #[arg(long, env = "CFX_LOG_FORMAT")]
    pub log_format: Option<String>,
}

/// A key that signs.
#[derive(clap::Args, Deserialize, Debug, Default, Clone)]
#[serde(default)]
pub struct KeySettings {
    /// A file with the signing key's certificates, PEM, its own first.
    #[arg(long, env = "CFX_SIGNING_CERTIFICATE_FILE")]
    pub signing_certificate_file: Option<PathBuf>,
    /// The same as a text.
    #[arg(long, env = "CFX_SIGNING_CERTIFICATE", hide_env_values = true)]
    pub signing_certificate: Option<String>,
    /// A file with the private key, PEM (PKCS#8), P-256 or Ed25519.
    #[arg(long, env = "CFX_SIGNING_KEY_FILE")]
    pub signing_key_file: Option<PathBuf>,
    /// The same as a text.
    #[arg(long, env = "CFX_SIGNING_KEY", hide_env_values = true)]
    pub signing_key: Option<String>,
    /// A program that keeps the key: run by `sh -c`, it gets the bytes to sign on its standard input and answers with the raw signature.
    #[arg(long, env = "CFX_SIGNING_COMMAND")]
    pub signing_command: Option<String>,
}

impl KeySettings {
    /// The key, if one is given.
    ///
    /// # Errors
    /// When it is incomplete or unreadable.
    pub fn signer(&self) -> Result<Option<credentials::Signer>, ConfigError> {
        let certificate = secret(self.signing_certificate.clone(), self.signing_certificate_file.clone())?;
        let key = secret(self.signing_key.clone(), self.signing_key_file.clone())?;
        let command = self.signing_command.as_deref();
        Ok(credentials::keys::configured(certificate.as_deref(), key.as_deref(), command)?)
    }

    fn fill(&mut self, file: Self) {
        // one layer gives all of it: a certificate of the environment and a key of the file do not belong together
        let given = |key: &Self| {
            key.signing_certificate.is_some() || key.signing_certificate_file.is_some() || key.signing_command.is_some()
        };
        if !given(self) && self.signing_key.is_none() && self.signing_key_file.is_none() {
            *self = file;
        }
    }
}

/// Who signs images.
#[derive(Clone, Debug)]
pub enum Signer {
    /// A key at hand.
    Key(credentials::Issuer),
    /// The coordinators.
    Coordinators,
    /// Nobody.
    Off,
}

/// Settings that are complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// RabbitMQ.
    pub broker: BrokerConfig,
    /// The bucket.
    pub s3: S3Config,
    /// Queue class.
    pub class: String,
    /// Device and process-wide settings of libtorch.
    pub device: device::Settings,
    /// What takes the device's place, where nothing is to be computed.
    pub null: Option<Null>,
    /// Longest slice of training.
    pub slice: Duration,
    /// Time to finish after the first signal.
    pub grace: Duration,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// Where packs are kept.
    pub cache_dir: PathBuf,
    /// How much of them.
    pub cache_bytes: u64,
    /// Packs kept loaded.
    pub packs_loaded: usize,
    /// Host name and process id.
    pub name: String,
    /// Who signs images.
    pub signing: Signer,
    /// What puts a watermark into them.
    pub watermarker: Watermarker,
    /// Where metrics and probes are answered.
    pub metrics_listen: Option<SocketAddr>,
}

/// A setting that is missing or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A required setting was not given.
    #[error("{name} is not set; give --{flag}, or {env} in the environment, or `{name}` in the settings file")]
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
    /// A settings file with a mistake in it.
    #[error("{path} is not a valid settings file")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// Not a device.
    #[error(transparent)]
    Device(#[from] device::DeviceError),
    /// Not an executor.
    #[error(transparent)]
    Executor(#[from] UnknownExecutor),
    /// A device that nothing would be computed on.
    #[error(
        "executor '{executor}' computes nothing, so it takes no device; leave out one of CFX_EXECUTOR and CFX_DEVICE={device}"
    )]
    ExecutorOnDevice {
        /// The executor.
        executor: String,
        /// The device.
        device: String,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] credentials::KeyError),
    /// Certificates that no credential can be made with.
    #[error(transparent)]
    Credential(#[from] credentials::CredentialError),
    /// Not a way to sign.
    #[error("signing is '{0}'; it is coordinators, key or off")]
    Signing(String),
    /// Not a way for traces.
    #[error(transparent)]
    Traces(#[from] telemetry::TraceSettingsError),
    /// Not a log format.
    #[error(transparent)]
    Log(#[from] telemetry::TelemetryError),
    /// A class that would make a confusing queue name.
    #[error("class '{0}' has other characters than a-z, 0-9 and '-'")]
    Class(String),
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// The value itself, or the contents of the file that holds it, without the line end editors add.
fn secret(value: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, ConfigError> {
    match (value, file) {
        (Some(value), _) => Ok(Some(value)),
        (None, Some(path)) => Ok(Some(read(&path)?.trim_end_matches(['\r', '\n']).to_owned())),
        (None, None) => Ok(None),
    }
}

macro_rules! fill {
    ($into:ident, $from:ident, $($field:ident),* $(,)?) => { $($into.$field = $into.$field.take().or($from.$field);)* };
}

impl Settings {
    /// Fills what flags and environment left open from the settings file, if one is named.
    fn with_file(mut self) -> Result<Self, ConfigError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let mut file: Self = toml::from_str(&read(&path)?)
            .map_err(|source| ConfigError::Malformed { path, source: Box::new(source) })?;
        // A secret given as a flag also wins over a *_file in the settings file: each pair comes from one layer.
        for (value, from, in_file) in [
            (&self.broker_url, &self.broker_url_file, &mut file.broker_url_file),
            (&self.s3_access_key, &self.s3_access_key_file, &mut file.s3_access_key_file),
            (&self.s3_secret_key, &self.s3_secret_key_file, &mut file.s3_secret_key_file),
        ] {
            if value.is_some() || from.is_some() {
                *in_file = None;
            }
        }
        for (from, in_file) in [
            (&self.broker_url_file, &mut file.broker_url),
            (&self.s3_access_key_file, &mut file.s3_access_key),
            (&self.s3_secret_key_file, &mut file.s3_secret_key),
        ] {
            if from.is_some() {
                *in_file = None;
            }
        }
        fill!(self, file, broker_url, broker_url_file, s3_bucket, s3_endpoint, s3_region, s3_path_style);
        fill!(self, file, s3_access_key, s3_access_key_file, s3_secret_key, s3_secret_key_file);
        fill!(
            self,
            file,
            class,
            device,
            executor,
            threads,
            convolutions,
            slice_seconds,
            grace_seconds,
            heartbeat_seconds
        );
        fill!(self, file, cache_dir, cache_bytes, packs_loaded, metrics_listen, log, log_format);
        fill!(self, file, signing, watermark_command, watermark_name);
        self.key.fill(file.key);
        self.traces = std::mem::take(&mut self.traces).or(file.traces);
        Ok(self)
    }

    /// The complete settings, and how to log.
    ///
    /// # Errors
    /// Names the setting that is missing or wrong.
    pub fn resolve(self) -> Result<(Config, LogConfig), ConfigError> {
        let given = self.with_file()?;
        let missing = |name, flag, env| ConfigError::Missing { name, flag, env };
        let broker_url = secret(given.broker_url, given.broker_url_file)?
            .ok_or_else(|| missing("broker_url", "broker-url", "CFX_BROKER_URL"))?;
        let bucket = given.s3_bucket.ok_or_else(|| missing("s3_bucket", "s3-bucket", "CFX_S3_BUCKET"))?;
        let access = secret(given.s3_access_key, given.s3_access_key_file)?
            .ok_or_else(|| missing("s3_access_key", "s3-access-key", "CFX_S3_ACCESS_KEY"))?;
        let secret_key = secret(given.s3_secret_key, given.s3_secret_key_file)?
            .ok_or_else(|| missing("s3_secret_key", "s3-secret-key", "CFX_S3_SECRET_KEY"))?;
        let class = given.class.unwrap_or_else(|| "cpu".to_owned());
        if class.is_empty() || !class.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(ConfigError::Class(class));
        }
        if let (Some(executor), Some(device)) = (given.executor.clone(), given.device.clone()) {
            return Err(ConfigError::ExecutorOnDevice { executor, device });
        }
        let region = given.s3_region.unwrap_or_else(|| "us-east-1".to_owned());
        let path_style = given.s3_path_style.unwrap_or(false);
        let name = process_name();
        let signing = match (given.signing.as_deref(), given.key.signer()?) {
            (None | Some("key"), Some(signer)) => Signer::Key(credentials::Issuer::new(signer)?),
            (None | Some("coordinators"), None) => Signer::Coordinators,
            (Some("off"), None) => Signer::Off,
            (Some("key"), None) => {
                return Err(missing("signing_certificate", "signing-certificate-file", "CFX_SIGNING_CERTIFICATE"));
            }
            (Some(other @ ("coordinators" | "off")), Some(_)) => {
                return Err(ConfigError::Signing(format!("{other}, and yet there is a key")));
            }
            (Some(other), _) => return Err(ConfigError::Signing(other.to_owned())),
        };
        let watermarker = given.watermark_command.map(|command| Watermarker::command(command, given.watermark_name));
        let config = Config {
            broker: BrokerConfig::new(&broker_url, format!("worker {name}")),
            s3: S3Config::new(given.s3_endpoint, region, bucket, access, secret_key, path_style),
            class,
            device: device_settings(given.device.as_deref(), given.threads, given.convolutions.as_deref())?,
            null: given.executor.as_deref().map(str::parse).transpose()?,
            slice: Duration::from_secs(given.slice_seconds.unwrap_or(600)),
            grace: Duration::from_secs(given.grace_seconds.unwrap_or(60)),
            heartbeat: Duration::from_secs(given.heartbeat_seconds.unwrap_or(10).max(1)),
            cache_dir: given.cache_dir.unwrap_or_else(default_cache),
            cache_bytes: given.cache_bytes.unwrap_or(20_000_000_000),
            packs_loaded: given.packs_loaded.unwrap_or(2).max(1),
            name,
            metrics_listen: given.metrics_listen,
            signing,
            watermarker: watermarker.unwrap_or_default(),
        };
        let format = given.log_format.as_deref().unwrap_or("text").parse()?;
        let traces = given.traces.config()?;
        Ok((config, LogConfig { format, traces, filter: given.log.unwrap_or_else(|| "info".to_owned()) }))
    }
}

/// Settings of libtorch for a device name, the CPU when absent, and a way of computing convolutions.
///
/// # Errors
/// When it is not a device name or not such a way.
pub fn device_settings(
    device: Option<&str>,
    threads: Option<usize>,
    convolutions: Option<&str>,
) -> Result<device::Settings, device::DeviceError> {
    let device: DeviceChoice = device.map(str::parse).transpose()?.unwrap_or_default();
    let convolutions = convolutions.map(str::parse).transpose()?.unwrap_or_default();
    let products = match convolutions {
        Convolutions::Winograd => Products::fastest(),
        // as other programs compute them, in this too
        Convolutions::Direct => Products::Blas,
    };
    let threads = threads.unwrap_or(1).max(1);
    Ok(device::Settings { device, threads, convolutions, products, ..device::Settings::default() })
}

/// Settings of a device that computes in `precision`, for whoever asks for one by name.
///
/// # Errors
/// When it is a mode of GPUs, and the device is a CPU: a job that allows it is computed there all the same, and more exactly.
pub fn in_precision(precision: Precision, settings: device::Settings) -> anyhow::Result<device::Settings> {
    let tf32 = precision.allows_tf32();
    anyhow::ensure!(
        !tf32 || settings.device != DeviceChoice::Cpu,
        "precision tf32 is how NVIDIA's GPUs multiply, and the device is a CPU; write fp32 or bf16, or choose a GPU"
    );
    Ok(device::Settings { tf32, ..settings })
}

fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "unknown" } else { host.trim() };
    format!("{host}:{}", std::process::id())
}

fn default_cache() -> PathBuf {
    let folder = |name: &str, below: &str| Some(PathBuf::from(std::env::var_os(name)?).join(below));
    let cache = folder("XDG_CACHE_HOME", "").or_else(|| folder("HOME", ".cache"));
    cache.unwrap_or_else(std::env::temp_dir).join("counterfactory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Settings {
        let text = |t: &str| Some(t.to_owned());
        Settings {
            broker_url: text("amqp://h"),
            s3_bucket: text("b"),
            s3_access_key: text("a"),
            s3_secret_key: text("s"),
            ..Settings::default()
        }
    }

    #[test]
    fn a_missing_setting_is_named_with_every_way_to_give_it() {
        let error = Settings { broker_url: None, ..complete() }.resolve().unwrap_err().to_string();
        assert!(error.contains("--broker-url") && error.contains("CFX_BROKER_URL"), "{error}");
        assert!(matches!(Settings { class: Some("a b".into()), ..complete() }.resolve(), Err(ConfigError::Class(_))));
    }

    #[test]
    fn an_executor_takes_no_device() {
        let given = |executor: &str, device: Option<&str>| {
            let device = device.map(str::to_owned);
            Settings { executor: Some(executor.to_owned()), device, ..complete() }.resolve()
        };
        assert!(given("sleep:50ms", None).unwrap().0.null.is_some());
        for device in ["cuda", "cpu"] {
            let error = given("sleep:50ms", Some(device)).unwrap_err().to_string();
            assert!(error.contains("CFX_EXECUTOR") && error.contains(device), "{error}");
        }
        assert!(matches!(given("sleep", None), Err(ConfigError::Executor(_))));
        assert!(complete().resolve().unwrap().0.null.is_none());
    }

    #[test]
    fn flags_win_over_the_file_and_secrets_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "from a file\n").unwrap();
        let file = folder.path().join("worker.toml");
        let text = format!(
            "class = \"gpu\"\nthreads = 3\nconvolutions = \"direct\"\ns3_secret_key_file = {:?}\nbroker_url = \"amqp://file\"\n",
            secret
        );
        std::fs::write(&file, text).unwrap();
        let given = Settings { config: Some(file.clone()), threads: Some(2), s3_secret_key: None, ..complete() };
        let (config, _) = given.resolve().unwrap();
        assert_eq!((config.class.as_str(), config.device.threads), ("gpu", 2));
        assert_eq!(config.device.convolutions, device::Convolutions::Direct);
        assert_eq!((config.s3.secret_key.as_str(), config.broker.urls[0].as_str()), ("from a file", "amqp://h"));
        let (config, _) = Settings { config: Some(file.clone()), ..complete() }.resolve().unwrap();
        assert_eq!(config.s3.secret_key, "s", "a flag wins over a file named in the settings file");
        std::fs::write(&file, "klass = \"gpu\"").unwrap();
        let error = Settings { config: Some(file), ..complete() }.resolve().unwrap_err();
        assert!(matches!(error, ConfigError::Malformed { .. }));
    }
}
