//! A RabbitMQ cluster, a node a host, by TLS only. It forms itself from the list of its nodes, as `deploy/OPERATIONS.md` tells.

use crate::host::{Host, said};
use crate::pki::Pki;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::{Child, wait_until};

/// Long enough for three nodes to start on two cores.
const ROOM: Duration = Duration::from_secs(180);
/// Debian's folder of the scripts that any account may run.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// One node. It is killed when this is dropped.
#[derive(Debug)]
pub struct Node {
    /// Where it runs.
    pub host: Host,
    folder: PathBuf,
    child: Option<Child>,
}

/// The nodes.
#[derive(Debug)]
pub struct Cluster {
    /// In the order of their hosts.
    pub nodes: Vec<Node>,
    /// `amqps://…` of each, separated by commas.
    pub urls: String,
}

impl Cluster {
    /// Starts all nodes and waits until they are one cluster.
    ///
    /// # Errors
    /// When RabbitMQ is not installed (`make install`) or refuses.
    pub async fn start(hosts: &[Host], folder: &Path, pki: &Pki, password: &str) -> Result<Self> {
        let mut nodes = Vec::new();
        for host in hosts {
            let folder = folder.join(&host.name);
            std::fs::create_dir_all(&folder)?;
            configure(host, hosts, &folder, pki, password)?;
            let mut node = Node { host: host.clone(), folder, child: None };
            node.run()?;
            nodes.push(node);
        }
        let url = |host: &Host| format!("amqps://cfx:{password}@{}:5671/%2f", host.address);
        let cluster = Self { nodes, urls: hosts.iter().map(url).collect::<Vec<_>>().join(",") };
        cluster.whole().await;
        Ok(cluster)
    }

    /// Waits until every node knows every other.
    pub async fn whole(&self) {
        let all = self.nodes.len();
        wait_until("all nodes of RabbitMQ are one cluster", ROOM, || async {
            let first = self.nodes.first()?;
            let told = first.ctl(&["cluster_status", "--formatter", "json"]).ok()?;
            let told: serde_json::Value = serde_json::from_str(&told).ok()?;
            (told["running_nodes"].as_array()?.len() == all).then_some(())
        })
        .await;
    }

    /// The node that leads a quorum queue.
    ///
    /// # Errors
    /// When the queue is not there.
    pub fn leader(&self, queue: &str) -> Result<usize> {
        for node in self.nodes.iter().filter(|node| node.child.is_some()) {
            let Ok(told) = node.ctl(&["list_queues", "--silent", "--formatter", "json", "name", "leader"]) else {
                continue;
            };
            let queues: Vec<serde_json::Value> = serde_json::from_str(&told)?;
            let found = queues
                .iter()
                .find(|found| found["name"] == queue)
                .with_context(|| format!("there is no queue {queue}"))?;
            let leader = found["leader"].as_str().unwrap_or_default();
            return self
                .nodes
                .iter()
                .position(|node| node.name() == leader)
                .with_context(|| format!("'{leader}' leads {queue}"));
        }
        bail!("no node tells who leads {queue}")
    }
}

impl Node {
    fn name(&self) -> String {
        name(&self.host)
    }

    fn environment(&self, command: &mut Command) {
        let folder = |name: &str| self.folder.join(name);
        command
            .env_clear()
            .envs([("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8")]);
        command.env("HOME", &self.folder).env("RABBITMQ_NODENAME", self.name()).env("RABBITMQ_USE_LONGNAME", "true");
        command
            .env("RABBITMQ_CONF_ENV_FILE", folder("rabbitmq-env.conf"))
            .env("RABBITMQ_CONFIG_FILE", folder("rabbitmq.conf"));
        command.env("RABBITMQ_ADVANCED_CONFIG_FILE", folder("advanced.config"));
        command
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", folder("mnesia"));
        command.env("RABBITMQ_SCHEMA_DIR", folder("schema")).env("RABBITMQ_GENERATED_CONFIG_DIR", folder("config"));
        command.env("RABBITMQ_LOG_BASE", folder("log")).env("RABBITMQ_PID_FILE", folder("node.pid"));
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&mut self) -> Result<()> {
        let mut command = self.host.command(Path::new(PROGRAMS).join("rabbitmq-server"));
        self.environment(&mut command);
        // makes the server's script replace itself by Erlang, so that this process is the node
        command.env("detached", "true");
        self.child = Some(Child::spawn_command(&self.host.name, command)?);
        Ok(())
    }

    /// SIGKILL: what it held in memory alone is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.child.take().context("it does not run")?.kill()
    }

    /// Ends it in good order, as an upgrade of its package does.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it does not run")?;
        child.terminate()?;
        child.wait(ROOM).await;
        Ok(())
    }

    /// `rabbitmqctl` on it.
    ///
    /// # Errors
    /// With what it wrote.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.host.command(Path::new(PROGRAMS).join("rabbitmqctl"));
        self.environment(&mut command);
        said(command.args(["--longnames", "--node", &self.name(), "--quiet"]).args(arguments))
    }
}

fn name(host: &Host) -> String {
    format!("rabbit@{}", host.address)
}

fn configure(host: &Host, all: &[Host], folder: &Path, pki: &Pki, password: &str) -> Result<()> {
    let (certificate, key) = pki.issue(&host.name, host)?;
    let (authority, certificate, key) = (pki.authority(), certificate.display().to_string(), key.display().to_string());
    let mut conf = format!(
        "listeners.tcp = none\n\
         listeners.ssl.default = {}:5671\n\
         ssl_options.cacertfile = {}\n\
         ssl_options.certfile = {certificate}\n\
         ssl_options.keyfile = {key}\n\
         ssl_options.verify = verify_none\n\
         ssl_options.fail_if_no_peer_cert = false\n\
         default_user = cfx\n\
         default_pass = {password}\n\
         cluster_formation.peer_discovery_backend = classic_config\n\
         cluster_partition_handling = pause_minority\n\
         net_ticktime = 10\n\
         disk_free_limit.absolute = 200MB\n\
         log.console = true\n\
         log.console.level = warning\n\
         log.file = false\n",
        host.address,
        authority.display()
    );
    for (place, node) in all.iter().enumerate() {
        conf += &format!("cluster_formation.classic_config.nodes.{} = {}\n", place + 1, name(node));
    }
    std::fs::write(folder.join("rabbitmq.conf"), conf)?;
    std::fs::write(folder.join("enabled_plugins"), "[].")?;
    // nodes that have the same cookie trust each other
    let cookie = folder.join(".erlang.cookie");
    std::fs::write(&cookie, password)?;
    crate::host::quiet(Command::new("chmod").arg("400").arg(cookie))
}
