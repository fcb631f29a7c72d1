//! The installation that is broken: two coordinators, three workers, their services behind proxies, all for the harness alone.

use crate::api::{Api, PATIENCE};
use crate::database::Database;
use crate::history::Installation;
use crate::setup::{Executor, How, Setup, faketime, free_address};
use anyhow::{Result, bail};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Child, FaultProxy, TestBroker, TestBucket, TestVhost, wait_until, workspace_binary, workspace_root};

/// Coordinators of an installation.
pub const COORDINATORS: usize = 2;
/// Workers of an installation.
pub const WORKERS: usize = 3;

#[derive(Debug)]
struct Process {
    child: Child,
    how: How,
}

/// A running installation.
#[derive(Debug)]
pub struct Rig {
    // dropped in this order: processes before what they use
    workers: Mutex<Vec<Process>>,
    coordinators: Mutex<Vec<Process>>,
    addresses: Vec<SocketAddr>,
    /// Before PostgreSQL.
    pub database_proxy: FaultProxy,
    /// Before RabbitMQ.
    pub broker_proxy: FaultProxy,
    /// Before S3.
    pub bucket_proxy: FaultProxy,
    /// S3.
    pub bucket: TestBucket,
    /// The vhost on [`Rig::broker`].
    pub vhost: TestVhost,
    /// RabbitMQ.
    pub broker: TestBroker,
    /// PostgreSQL.
    pub database: Database,
    /// For looking, not through the proxy.
    pub pool: PgPool,
    settings: Vec<(&'static str, String)>,
    setup: Setup,
    binaries: Mutex<Option<PathBuf>>,
    folder: TempDir,
    /// What its users ask.
    pub api: Api,
    born: Instant,
    notes: Mutex<Vec<String>>,
}

impl Rig {
    /// Starts everything, registers the pack and the datasets.
    ///
    /// # Errors
    /// When a server is not installed (`make install`) or a binary not built (`make build`).
    pub async fn start() -> Result<Self> {
        Self::start_as(Setup::default()).await
    }

    /// The same, set up otherwise.
    ///
    /// # Errors
    /// As [`Rig::start`].
    pub async fn start_as(setup: Setup) -> Result<Self> {
        // another test of this process may have installed the same provider already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (database, broker) = tokio::try_join!(Database::start(setup.disk_mib), TestBroker::start())?;
        let vhost = TestVhost::create_on(broker.url(), broker.api()).await?;
        let bucket = TestBucket::create().await?;
        let (database_proxy, database_url) = FaultProxy::before(&database.url()).await?;
        let (broker_proxy, broker_url) = FaultProxy::before(vhost.url()).await?;
        let (bucket_proxy, endpoint) = FaultProxy::before(&bucket.endpoint()).await?;
        let folder = TempDir::with_prefix("cfx-faults-")?;
        std::fs::write(folder.path().join("coordinator.toml"), setup.settings)?;
        let mut settings = bucket.settings();
        settings.retain(|(name, _)| *name != "CFX_S3_ENDPOINT");
        settings.extend([
            ("CFX_S3_ENDPOINT", endpoint.trim_end_matches('/').to_owned()),
            ("CFX_DATABASE_URL", database_url),
            ("CFX_BROKER_URL", broker_url),
            ("CFX_LOG", setup.log.to_owned()),
            ("CFX_ADMIN_KEY_FILE", folder.path().join("admin.key").to_string_lossy().into_owned()),
        ]);
        let mut migrate = spawn(setup.binaries.as_deref(), "coordinator", &["migrate"], settings.clone())?;
        if !migrate.wait(PATIENCE).await.success() {
            bail!("the schema could not be made: {}", migrate.output());
        }
        let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(5));
        let pool = pool.connect_lazy(&database.url())?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build()?;
        let addresses = (0..COORDINATORS).map(|_| free_address()).collect::<Result<Vec<_>>>()?;
        let api = Api { servers: addresses.iter().map(|address| format!("http://{address}")).collect(), client };
        let rig = Self {
            workers: Mutex::default(),
            coordinators: Mutex::default(),
            addresses,
            database_proxy,
            broker_proxy,
            bucket_proxy,
            bucket,
            vhost,
            broker,
            database,
            pool,
            settings,
            binaries: Mutex::new(setup.binaries.clone()),
            setup,
            folder,
            api,
            born: Instant::now(),
            notes: Mutex::default(),
        };
        for place in 0..COORDINATORS {
            let process = rig.coordinator(place, How::default())?;
            lock(&rig.coordinators).push(process);
        }
        for _ in 0..WORKERS {
            let process = rig.worker(How::default())?;
            lock(&rig.workers).push(process);
        }
        rig.api.ready().await;
        rig.furnish().await?;
        rig.api.datasets("default").await?;
        Ok(rig)
    }

    fn coordinator(&self, place: usize, how: How) -> Result<Process> {
        let config = self.folder.path().join("coordinator.toml").to_string_lossy().into_owned();
        let listen = self.addresses[place].to_string();
        let arguments = ["serve", "--listen", &listen, "--config", &config];
        let child = spawn(self.binaries().as_deref(), "coordinator", &arguments, self.environment(&how))?;
        Ok(Process { child, how })
    }

    fn worker(&self, how: How) -> Result<Process> {
        let mut environment = self.environment(&how);
        let cache = self.folder.path().join("packs").to_string_lossy().into_owned();
        let named = [("CFX_HEARTBEAT_SECONDS", "1"), ("CFX_GRACE_SECONDS", "10"), ("CFX_THREADS", "1")];
        environment.extend(named.map(|(name, value)| (name, value.to_owned())));
        environment.push(("CFX_CACHE_DIR", cache));
        match &how.executor {
            None => environment.push(("CFX_EXECUTOR", self.setup.executor.to_owned())),
            Some(Executor::Null(what)) => environment.push(("CFX_EXECUTOR", what.clone())),
            Some(Executor::Real) => {}
        }
        environment.extend(how.deadly.clone().map(|item| ("CFX_CRASH_ON", item)));
        Ok(Process { child: spawn(self.binaries().as_deref(), "worker", &["run"], environment)?, how })
    }

    fn binaries(&self) -> Option<PathBuf> {
        lock(&self.binaries).clone()
    }

    /// From now on processes are started from this build.
    ///
    /// # Errors
    /// When the schema cannot be brought forward.
    pub async fn upgrade(&self) -> Result<()> {
        *lock(&self.binaries) = None;
        let mut migrate = spawn(None, "coordinator", &["migrate"], self.settings.clone())?;
        if !migrate.wait(PATIENCE).await.success() {
            bail!("the schema could not be brought forward: {}", migrate.output());
        }
        Ok(())
    }

    /// Runs `coordinator rebuild` on another database, with no process alive; what it says.
    ///
    /// # Errors
    /// When it fails.
    pub async fn rebuild(&self, database_url: &str) -> Result<String> {
        for process in lock(&self.workers).iter_mut().chain(lock(&self.coordinators).iter_mut()) {
            process.child.kill().ok();
        }
        let mut settings = self.settings.clone();
        settings.retain(|(name, _)| *name != "CFX_DATABASE_URL");
        settings.push(("CFX_DATABASE_URL", database_url.to_owned()));
        let mut rebuild = spawn(None, "coordinator", &["rebuild"], settings)?;
        let status = rebuild.wait(Duration::from_secs(900)).await;
        if !status.success() {
            bail!("rebuilding failed: {}", rebuild.output());
        }
        Ok(rebuild.output())
    }

    fn environment(&self, how: &How) -> Vec<(&'static str, String)> {
        let mut environment = self.settings.clone();
        if let Some(point) = &how.crash_at {
            environment.push(("CFX_CRASH_AT", point.clone()));
        }
        if let (Some(clock), Some(library)) = (how.clock, faketime()) {
            environment.push(("LD_PRELOAD", library.to_string_lossy().into_owned()));
            environment.push(("FAKETIME", clock.to_owned()));
            // what is late is measured by the monotonic clock, which no administrator sets
            environment.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
        }
        environment
    }

    async fn furnish(&self) -> Result<()> {
        let pack = workspace_root().join("deploy/demo/pack");
        let mut command = tokio::process::Command::new(workspace_binary("cfx")?);
        command.args(["pack", "add"]).arg(pack).env("CFX_SERVER", format!("http://{}", self.addresses[0]));
        let output = command.env_remove("CFX_PROJECT").output().await?;
        if !output.status.success() {
            bail!("the pack could not be added: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Brings everything back: faults off, servers up, every process alive and started the ordinary way.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn heal(&self) -> Result<()> {
        for proxy in [&self.database_proxy, &self.broker_proxy, &self.bucket_proxy] {
            proxy.set(testkit::Fault::None);
        }
        self.database.free_disk().await?;
        self.broker.start_again().await?;
        self.revive()
    }

    /// What a supervisor does: starts what has ended, and ends what was started for a fault.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn revive(&self) -> Result<()> {
        for (place, process) in lock(&self.coordinators).iter_mut().enumerate() {
            if !is_sound(process) {
                process.child.kill().ok();
                *process = self.coordinator(place, How::default())?;
            }
        }
        for process in lock(&self.workers).iter_mut() {
            if !is_sound(process) {
                process.child.kill().ok();
                *process = self.worker(How::default())?;
            }
        }
        Ok(())
    }

    /// What a supervisor does that knows nothing of faults: starts what has ended as it was started before. How many had ended.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn restart_ended(&self) -> Result<usize> {
        let mut restarted = 0;
        for process in lock(&self.workers).iter_mut() {
            if !matches!(process.child.ended(), Ok(None)) {
                *process = self.worker(process.how.clone())?;
                restarted += 1;
            }
        }
        Ok(restarted)
    }

    /// Does something to the worker `place`.
    ///
    /// # Errors
    /// The deed's.
    pub fn with_worker<T>(&self, place: usize, deed: impl FnOnce(&mut Child) -> Result<T>) -> Result<T> {
        deed(&mut lock(&self.workers)[place % WORKERS].child)
    }

    /// Does something to the coordinator `place`.
    ///
    /// # Errors
    /// The deed's.
    pub fn with_coordinator<T>(&self, place: usize, deed: impl FnOnce(&mut Child) -> Result<T>) -> Result<T> {
        deed(&mut lock(&self.coordinators)[place % COORDINATORS].child)
    }

    /// The workers that may be killed.
    pub fn expendable_workers(&self) -> std::ops::Range<usize> {
        usize::from(self.setup.spare_first)..WORKERS
    }

    /// A worker to be killed.
    pub fn some_worker(&self, rng: &mut ChaCha8Rng) -> usize {
        rng.random_range(self.expendable_workers())
    }

    /// A coordinator to be killed.
    pub fn some_coordinator(&self, rng: &mut ChaCha8Rng) -> usize {
        rng.random_range(usize::from(self.setup.spare_first)..COORDINATORS)
    }

    /// The processes, by name.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let mut all = Vec::new();
        for (what, processes) in [("coordinator", &self.coordinators), ("worker", &self.workers)] {
            for (place, process) in lock(processes).iter().enumerate() {
                all.push((format!("{what} {place}"), process.child.pid()));
            }
        }
        all
    }

    /// Kills the worker `place` and starts one in its place, `how`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn replace_worker(&self, place: usize, how: How) -> Result<()> {
        let process = &mut lock(&self.workers)[place % WORKERS];
        process.child.kill().ok();
        *process = self.worker(how)?;
        Ok(())
    }

    /// Kills the coordinator `place` and starts one in its place, `how`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn replace_coordinator(&self, place: usize, how: How) -> Result<()> {
        let place = place % COORDINATORS;
        let process = &mut lock(&self.coordinators)[place];
        process.child.kill().ok();
        *process = self.coordinator(place, how)?;
        Ok(())
    }

    /// Ends the worker `place` in good order and starts one in its place.
    ///
    /// # Errors
    /// When one does not end or the other not start.
    pub async fn succeed_worker(&self, place: usize) -> Result<()> {
        self.with_worker(place, |child| child.terminate())?;
        self.gone(&self.workers, place).await;
        self.replace_worker(place, How::default())
    }

    /// The same with a coordinator.
    ///
    /// # Errors
    /// As [`Rig::succeed_worker`].
    pub async fn succeed_coordinator(&self, place: usize) -> Result<()> {
        self.with_coordinator(place, |child| child.terminate())?;
        self.gone(&self.coordinators, place).await;
        self.replace_coordinator(place, How::default())
    }

    async fn gone(&self, processes: &Mutex<Vec<Process>>, place: usize) {
        wait_until("a process has ended in good order", PATIENCE, || {
            std::future::ready(lock(processes)[place].child.ended().ok().flatten())
        })
        .await;
    }

    /// What every process has written, for a run that went wrong.
    pub fn outputs(&self) -> String {
        let mut all = String::new();
        for (what, processes) in [("coordinator", &self.coordinators), ("worker", &self.workers)] {
            for process in lock(processes).iter() {
                all += &format!("=== {what} {} {:?}\n{}", process.child.pid(), process.how, process.child.output());
            }
        }
        all
    }

    /// Writes an event into the history of this run.
    pub fn note(&self, what: impl Into<String>) {
        lock(&self.notes).push(format!("{:9.3} {}", self.born.elapsed().as_secs_f64(), what.into()));
    }

    /// The history since it was last taken.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notes))
    }
}

impl Installation for Rig {
    fn pool(&self) -> &PgPool {
        &self.pool
    }

    fn object_path(&self, key: &str) -> PathBuf {
        self.bucket.object_path(key)
    }
}

/// Starts a binary of this build, or the one of that name in `folder`.
fn spawn(
    folder: Option<&Path>,
    name: &str,
    arguments: &[&str],
    environment: Vec<(&'static str, String)>,
) -> Result<Child> {
    let Some(folder) = folder else { return Child::spawn(name, arguments, environment) };
    let mut command = Command::new(folder.join(name));
    for (variable, _) in std::env::vars_os().filter(|(variable, _)| variable.to_string_lossy().starts_with("CFX_")) {
        command.env_remove(variable);
    }
    command.args(arguments).envs(environment);
    Child::spawn_command(name, command)
}

fn is_sound(process: &mut Process) -> bool {
    matches!(process.child.ended(), Ok(None)) && process.how == How::default()
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // safe to go on after a panic elsewhere: every change is one assignment
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
