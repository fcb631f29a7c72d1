//! The installation: which hosts there are, what runs on them, and how processes come and go.

use crate::host::{Host, Network, quiet};
use crate::pki::Pki;
use crate::postgres::Postgres;
use crate::rabbit::Cluster;
use crate::switch::Wires;
use anyhow::{Context as _, Result, bail};
use faults::api::{Api, PATIENCE};
use faults::history::Installation;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Child, wait_until, workspace_binary, workspace_root};

/// Coordinators.
pub const COORDINATORS: usize = 2;
/// Workers at the start.
pub const WORKERS: usize = 8;
/// Hosts that workers may be added on.
pub const MOST_WORKERS: usize = 12;
/// Nodes of RabbitMQ.
pub const NODES: usize = 3;
/// A rack's network.
pub const WIRES: Wires = Wires { delay: Duration::from_millis(1), jitter: Duration::from_micros(500), loss: 0.0005 };
/// What a worker takes for an image: longer than two cores take for what is around it, or the machine and not the workers would bound
/// what is done.
const EXECUTOR: &str = "sleep:400ms";
/// Port of the coordinators.
const PORT: u16 = 8443;
const BUCKET: &str = "counterfactory";
/// Workers that end drain for this long at most.
const GRACE: &str = "10";

/// Times are shortened so that a loss shows within seconds; what holds must not depend on them.
const SETTINGS: &str = r#"
[tuning]
poll = "200ms"
sweep = "500ms"
worker_lost = "10s"
never_started = "15s"
batch_invert = 8
batch_optimise = 4
batch_most = 8
retry_cap = "2s"
"#;

/// The running installation.
#[derive(Debug)]
pub struct Fleet {
    // dropped in this order: processes before what they use, the network last
    workers: BTreeMap<usize, Child>,
    coordinators: Vec<Child>,
    bucket: Child,
    /// RabbitMQ.
    pub rabbit: Cluster,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// What its users ask.
    pub api: Api,
    /// For looking, from the user's host.
    pub pool: PgPool,
    /// Its authority.
    pub pki: Pki,
    settings: Vec<(&'static str, String)>,
    folder: TempDir,
    /// The hosts.
    pub network: Network,
}

fn names() -> Vec<String> {
    let many = |what: &'static str, count: usize| (1..=count).map(move |no| format!("{what}{no}"));
    let services = ["db", "s3"].map(str::to_owned).into_iter();
    services.chain(many("mq", NODES)).chain(many("c", COORDINATORS)).chain(many("w", MOST_WORKERS)).collect()
}

impl Fleet {
    /// Starts everything and registers the pack.
    ///
    /// # Errors
    /// Without root, or when a server is not installed (`make install`) or a binary not built (`make build`).
    pub async fn start() -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let network = Network::build(&names(), WIRES)?;
        let folder = TempDir::with_prefix("cfx-hosts-")?;
        // PostgreSQL's account has to come through to its own folder
        quiet(std::process::Command::new("chmod").arg("711").arg(folder.path()))?;
        let at = |name: &str| folder.path().join(name);
        let pki = Pki::create(&at("pki"))?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let postgres = Postgres::start(network.host("db")?, &at("postgres"), &pki, &password)?;
        let nodes = (1..=NODES).map(|no| network.host(&format!("mq{no}")).cloned()).collect::<Result<Vec<_>>>()?;
        let rabbit = Cluster::start(&nodes, &at("rabbit"), &pki, &password).await?;
        let endpoint = format!("http://{}:8333", network.host("s3")?.address);
        std::fs::write(at("coordinator.toml"), SETTINGS)?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let settings = vec![
            ("CFX_DATABASE_URL", postgres.url.clone()),
            ("CFX_BROKER_URL", rabbit.urls.clone()),
            ("CFX_S3_ENDPOINT", endpoint),
            ("CFX_S3_BUCKET", BUCKET.to_owned()),
            ("CFX_S3_PATH_STYLE", "true".to_owned()),
            ("CFX_S3_ACCESS_KEY", "hosts".to_owned()),
            ("CFX_S3_SECRET_KEY", password.clone()),
            ("CFX_ADMIN_KEY_FILE", text(at("admin.key"))),
            ("SSL_CERT_FILE", text(pki.authority())),
        ];
        let bucket = bucket(network.host("s3")?, &at("s3"), &settings)?;
        let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(Duration::from_secs(5));
        let pool = pool.connect_lazy(&postgres.url)?;
        wait_until("PostgreSQL answers", PATIENCE, || async { sqlx::query("SELECT 1").execute(&pool).await.ok() })
            .await;
        let mut migrate = spawn(network.host("c1")?, "coordinator", &["migrate"], &settings)?;
        if !migrate.wait(PATIENCE).await.success() {
            bail!("the schema could not be made: {}", migrate.output());
        }
        let api = Api { servers: Vec::new(), client: reqwest::Client::new() };
        let (workers, coordinators) = (BTreeMap::new(), Vec::new());
        let mut fleet =
            Self { workers, coordinators, bucket, rabbit, postgres, api, pool, pki, settings, folder, network };
        for place in 0..COORDINATORS {
            let process = fleet.coordinator(place)?;
            fleet.coordinators.push(process);
        }
        fleet.open_api().await?;
        fleet.furnish().await?;
        for place in 0..WORKERS {
            fleet.add_worker(place)?;
        }
        Ok(fleet)
    }

    /// Users reach every coordinator by HTTPS with the administrator's key.
    async fn open_api(&mut self) -> Result<()> {
        let file = self.folder.path().join("admin.key");
        let key = wait_until("a coordinator has made the first key", PATIENCE, || async {
            std::fs::read_to_string(&file).ok().filter(|key| !key.trim().is_empty())
        })
        .await;
        let mut shown = reqwest::header::HeaderValue::try_from(format!("Bearer {}", key.trim()))?;
        shown.set_sensitive(true);
        let authority = reqwest::Certificate::from_pem(&std::fs::read(self.pki.authority())?)?;
        let client =
            reqwest::Client::builder().timeout(Duration::from_secs(20)).connect_timeout(Duration::from_secs(3));
        let client = client.no_proxy().tls_certs_only([authority]);
        let client = client.default_headers([(reqwest::header::AUTHORIZATION, shown)].into_iter().collect()).build()?;
        let servers = (0..COORDINATORS).map(|place| self.server(place)).collect::<Result<_>>()?;
        self.api = Api { servers, client };
        self.api.ready().await;
        Ok(())
    }

    async fn furnish(&self) -> Result<()> {
        let pack = workspace_root().join("deploy/demo/pack");
        let mut command = tokio::process::Command::new(workspace_binary("cfx")?);
        command.args(["pack", "add"]).arg(pack).env("CFX_SERVER", self.server(0)?).env_remove("CFX_PROJECT");
        command
            .env("SSL_CERT_FILE", self.pki.authority())
            .env("CFX_API_KEY_FILE", self.folder.path().join("admin.key"));
        let output = command.output().await?;
        if !output.status.success() {
            bail!("the pack could not be added: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn server(&self, place: usize) -> Result<String> {
        Ok(format!("https://{}:{PORT}", self.coordinator_host(place)?.address))
    }

    fn coordinator_host(&self, place: usize) -> Result<&Host> {
        self.network.host(&format!("c{}", place + 1))
    }

    fn coordinator(&self, place: usize) -> Result<Child> {
        let host = self.coordinator_host(place)?;
        let (certificate, key) = self.pki.issue(&host.name, host)?;
        let listen = format!("{}:{PORT}", host.address);
        let [config, certificate, key] = [self.folder.path().join("coordinator.toml"), certificate, key]
            .map(|path| path.to_string_lossy().into_owned());
        let arguments = ["serve", "--listen", &listen, "--config", &config];
        let arguments = [&arguments[..], &["--tls-certificate-file", &certificate, "--tls-key-file", &key]].concat();
        spawn(host, "coordinator", &arguments, &self.settings)
    }

    /// Starts a worker on the host `w<place + 1>`, if none runs there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn add_worker(&mut self, place: usize) -> Result<()> {
        let mut settings: Vec<_> = self.settings.clone();
        // a worker has no business with the database, nor with keys of the HTTP interface
        settings.retain(|(name, _)| !matches!(*name, "CFX_DATABASE_URL" | "CFX_ADMIN_KEY_FILE"));
        let cache = self.folder.path().join("packs").to_string_lossy().into_owned();
        let own = [
            ("CFX_EXECUTOR", EXECUTOR),
            ("CFX_HEARTBEAT_SECONDS", "2"),
            ("CFX_GRACE_SECONDS", GRACE),
            ("CFX_CACHE_DIR", &cache),
        ];
        settings.extend(own.map(|(name, value)| (name, value.to_owned())));
        if !self.workers.contains_key(&place) {
            let host = self.network.host(&format!("w{}", place + 1))?;
            let child = spawn(host, "worker", &["run"], &settings)?;
            self.workers.insert(place, child);
        }
        Ok(())
    }

    /// Ends a worker in good order; false if it did not end well.
    ///
    /// # Errors
    /// When there is none, or it cannot be told.
    pub async fn remove_worker(&mut self, place: usize) -> Result<bool> {
        let mut child = self.workers.remove(&place).with_context(|| format!("there is no worker {place}"))?;
        child.terminate()?;
        let status = child.wait(PATIENCE).await;
        Ok(status.success())
    }

    /// Ends a coordinator in good order and starts it again; false if it did not end well.
    ///
    /// # Errors
    /// When it cannot be told, or does not start.
    pub async fn succeed_coordinator(&mut self, place: usize) -> Result<bool> {
        self.coordinators[place].terminate()?;
        let status = self.coordinators[place].wait(PATIENCE).await;
        self.coordinators[place] = self.coordinator(place)?;
        Ok(status.success())
    }

    /// Ends the S3 server and starts it again.
    ///
    /// # Errors
    /// When it does not end or start.
    pub async fn restart_bucket(&mut self) -> Result<()> {
        self.bucket.terminate()?;
        self.bucket.wait(PATIENCE).await;
        self.bucket = bucket(self.network.host("s3")?, &self.folder.path().join("s3"), &self.settings)?;
        Ok(())
    }

    /// Places of workers that run.
    pub fn workers(&self) -> Vec<usize> {
        self.workers.keys().copied().collect()
    }

    /// Processes that ended without being told to, with what they wrote.
    pub fn fallen(&mut self) -> Vec<String> {
        let named = self.workers.iter_mut().map(|(place, child)| (format!("w{}", place + 1), child));
        let all = named
            .chain(self.coordinators.iter_mut().enumerate().map(|(place, child)| (format!("c{}", place + 1), child)));
        all.filter_map(|(name, child)| {
            let status = child.ended().ok().flatten()?;
            Some(format!("{name} ended with {status}: {}", child.output()))
        })
        .collect()
    }

    /// What every process has written, into files of a folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_outputs(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for (place, child) in &self.workers {
            std::fs::write(folder.join(format!("w{}.log", place + 1)), child.output())?;
        }
        for (place, child) in self.coordinators.iter().enumerate() {
            std::fs::write(folder.join(format!("c{}.log", place + 1)), child.output())?;
        }
        Ok(())
    }
}

impl Installation for Fleet {
    fn pool(&self) -> &PgPool {
        &self.pool
    }

    fn object_path(&self, key: &str) -> PathBuf {
        self.folder.path().join("s3").join(BUCKET).join(key)
    }
}

fn spawn(host: &Host, name: &str, arguments: &[&str], settings: &[(&'static str, String)]) -> Result<Child> {
    let mut command = host.command(workspace_binary(name)?);
    for (variable, _) in std::env::vars_os().filter(|(variable, _)| variable.to_string_lossy().starts_with("CFX_")) {
        command.env_remove(variable);
    }
    command.args(arguments).envs(settings.iter().map(|(name, value)| (name, value)));
    Child::spawn_command(&host.name, command)
}

fn bucket(host: &Host, root: &Path, settings: &[(&'static str, String)]) -> Result<Child> {
    std::fs::create_dir_all(root)?;
    let (root, address) = (root.to_string_lossy().into_owned(), host.address.to_string());
    spawn(host, "local-s3", &["--root", &root, "--host", &address, "--port", "8333", "--bucket", BUCKET], settings)
}
