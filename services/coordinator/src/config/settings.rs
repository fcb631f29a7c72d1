//! Every setting as it may be given: flags, environment, settings file; secrets also as files.

use super::{AccessSettings, Bucket, ConfigError, Limits, Tuning};
use credentials::Signer;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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
    /// Answer by HTTPS with the certificates in this file, PEM, the server's own first. It is read again when it changes.
    /// [default: HTTP, for a proxy with TLS before it]
    #[arg(long, env = "CFX_TLS_CERTIFICATE_FILE", global = true)]
    pub tls_certificate_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    #[arg(long, env = "CFX_TLS_KEY_FILE", global = true)]
    pub tls_key_file: Option<PathBuf>,
    /// postgres://user:password@host:port/database
    #[arg(long, env = "CFX_DATABASE_URL", global = true, hide_env_values = true)]
    pub database_url: Option<String>,
    /// A file that holds the database URL.
    #[arg(long, env = "CFX_DATABASE_URL_FILE", global = true)]
    pub database_url_file: Option<PathBuf>,
    /// Connections kept to the database. [default: 16]
    #[arg(long, env = "CFX_DATABASE_CONNECTIONS", global = true)]
    pub database_connections: Option<u32>,
    /// amqp://user:password@host:port/vhost, or amqps://; one for each node of a cluster, separated by commas.
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
    /// On Kubernetes: keep the annotation controller.kubernetes.io/pod-deletion-cost of workers' pods at their remaining work, so that
    /// those with the least go first. Needs a service account that may patch pods. [default: false]
    #[arg(long, env = "CFX_POD_DELETION_COST", global = true)]
    pub pod_deletion_cost: Option<bool>,
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

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// The value itself, or the contents of the file that holds it, without the line end editors add.
pub(super) fn secret(value: Option<String>, file: Option<&PathBuf>) -> Result<Option<String>, ConfigError> {
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
            tls_certificate_file: self.tls_certificate_file.or(file.tls_certificate_file),
            tls_key_file: self.tls_key_file.or(file.tls_key_file),
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
            pod_deletion_cost: self.pod_deletion_cost.or(file.pod_deletion_cost),
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
