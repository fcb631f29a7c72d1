//! A RabbitMQ vhost for one test, or a whole node for one that stops and starts its broker.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, Url};
use tempfile::TempDir;

use crate::stack::{Stack, block_on_cleanup, dated_name, is_stale, workspace_root};

const PREFIX: &str = "cfxt";

/// An empty vhost on the node of `make up` (or on a [`TestBroker`]), deleted when this is dropped.
#[derive(Debug)]
pub struct TestVhost {
    api: Api,
    name: String,
    url: String,
}

impl TestVhost {
    /// A fresh vhost on the running stack's node.
    ///
    /// # Errors
    /// When the node is not running; the message says `make up`.
    pub async fn create() -> Result<Self> {
        let stack = Stack::find()?;
        Self::create_on(&stack.broker_url, &stack.broker_api).await
    }

    /// A fresh vhost on the node at `broker_url`, by its management API at `broker_api`.
    ///
    /// # Errors
    /// When that node does not answer.
    pub async fn create_on(broker_url: &str, broker_api: &str) -> Result<Self> {
        let api = Api::new(broker_api)?;
        api.remove_stale().await?;
        let name = dated_name(PREFIX);
        api.make(&name).await?;
        let mut url = Url::parse(broker_url).context("the broker URL for tests cannot be read")?;
        url.set_path(&name);
        Ok(Self { api, name, url: url.to_string() })
    }

    /// `amqp://…` of this vhost, as a service's settings take it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The vhost's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Loses everything the broker holds for this vhost: closes its connections, deletes queues and messages, and makes it again
    /// empty under the same name.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn wipe(&self) -> Result<()> {
        self.api.send(Method::DELETE, &["vhosts", &self.name]).await?;
        self.api.make(&self.name).await
    }

    /// A call of the node's management API, for what this type has no name for: `path` below `/api`, JSON in and out.
    ///
    /// # Errors
    /// When the node does not answer or refuses.
    pub async fn manage(&self, method: Method, path: &[&str], body: &serde_json::Value) -> Result<serde_json::Value> {
        let text = self.api.request(method, path, &body.to_string()).await?;
        Ok(if text.is_empty() { serde_json::Value::Null } else { serde_json::from_str(&text)? })
    }

    /// Publishes a message as a stranger would, past every rule of the project's own publisher, and waits for its confirm.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn publish(&self, queue: &str, body: &[u8]) -> Result<()> {
        let connection = lapin::Connection::connect(&self.url, lapin::ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await?;
        let (options, properties) = (lapin::options::BasicPublishOptions::default(), lapin::BasicProperties::default());
        let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties).await?.await?;
        anyhow::ensure!(confirm.is_ack(), "the node refused a message for {queue}");
        Ok(connection.close(200, "done".into()).await?)
    }

    /// Deletes a queue with what is in it, under everybody who uses it.
    ///
    /// # Errors
    /// When there is none of this name or the node does not answer.
    pub async fn delete_queue(&self, queue: &str) -> Result<()> {
        self.api.send(Method::DELETE, &["queues", &self.name, queue]).await
    }

    /// The names of the queues that exist now.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn queues(&self) -> Result<Vec<String>> {
        self.api.names(&["queues", &self.name]).await
    }

    /// Messages that wait in `queue` (unacked ones not counted), asked of the queue itself rather than of statistics that lag by
    /// seconds.
    ///
    /// # Errors
    /// When the queue does not exist or the node does not answer.
    pub async fn depth(&self, queue: &str) -> Result<u32> {
        queue_depth(&self.url, queue).await
    }
}

impl Drop for TestVhost {
    fn drop(&mut self) {
        let (api, name) = (self.api.clone(), self.name.clone());
        block_on_cleanup("test vhost", async move {
            // The client's connections belong to the runtime that opened them: this one needs a client of its own.
            Api::new(api.base.as_str())?.send(Method::DELETE, &["vhosts", &name]).await
        });
    }
}

/// A RabbitMQ node for one test, which may stop, kill and start it while others go on with theirs. It takes about eight seconds
/// to start. It is stopped, and its folder removed, when this is dropped.
#[derive(Debug)]
pub struct TestBroker {
    folder: TempDir,
    url: String,
    api: String,
}

impl TestBroker {
    /// Starts a node with an empty state, on free ports that it keeps over restarts.
    ///
    /// # Errors
    /// When RabbitMQ is not installed (the message says `make install`) or does not start.
    pub async fn start() -> Result<Self> {
        let local = workspace_root().join(".local");
        std::fs::create_dir_all(&local)?;
        let folder = TempDir::with_prefix_in("test-broker-", local)?;
        script("start", folder.path()).await?;
        let read = |name: &str| {
            std::fs::read_to_string(folder.path().join(name))
                .with_context(|| format!("the broker's {name} cannot be read"))
        };
        let (password, ports) = (read("password")?, read("ports.env")?);
        let port = |name: &str| {
            let found = ports.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.with_context(|| format!("{name} is missing in the broker's ports.env"))
        };
        let url = format!("amqp://cfx:{password}@127.0.0.1:{}/%2f", port("RABBIT_PORT")?);
        let api = format!("http://cfx:{password}@127.0.0.1:{}", port("RABBIT_API_PORT")?);
        Ok(Self { folder, url, api })
    }

    /// `amqp://…` of its default vhost. The port stays the same over [`TestBroker::stop`] and [`TestBroker::start_again`].
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of its management API.
    #[must_use]
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Messages that wait in `queue` of its default vhost, as [`TestVhost::depth`] counts them.
    ///
    /// # Errors
    /// When the queue does not exist, has no leader yet, or the node does not answer.
    pub async fn depth(&self, queue: &str) -> Result<u32> {
        queue_depth(&self.url, queue).await
    }

    /// Stops it in good order.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(&self) -> Result<()> {
        script("stop", self.folder.path()).await
    }

    /// Kills it with SIGKILL.
    ///
    /// RabbitMQ 3.10 writes down which directory belongs to which quorum queue only some seconds after the queue is declared: one
    /// declared less than five seconds before a kill comes back with a name, no leader and no messages. A test that wants its
    /// messages back lets the queue grow older than that, or stops the node once in good order before.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&self) -> Result<()> {
        script("kill", self.folder.path()).await
    }

    /// Raises the memory alarm: the node blocks everybody who publishes, until [`TestBroker::calm`].
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn alarm(&self) -> Result<()> {
        self.ctl(&["--quiet", "set_vm_memory_high_watermark", "0"]).await
    }

    /// Ends the alarm.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn calm(&self) -> Result<()> {
        self.ctl(&["--quiet", "set_vm_memory_high_watermark", "0.4"]).await
    }

    /// `rabbitmqctl` with these arguments on this node.
    ///
    /// # Errors
    /// When it fails; with its words.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(workspace_root().join("deploy/local/broker.sh"));
        command.arg("ctl").arg(self.folder.path()).args(arguments);
        run(command, "ctl").await
    }

    /// Starts it again on what it had written down.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&self) -> Result<()> {
        script("start", self.folder.path()).await
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let folder = self.folder.path().to_owned();
        block_on_cleanup("test broker", async move { script("stop", &folder).await });
    }
}

/// On a connection of its own: asking for a queue that is not there closes the channel that asked.
async fn queue_depth(url: &str, queue: &str) -> Result<u32> {
    let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
    let connection = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let found = channel.queue_declare(queue.into(), options, lapin::types::FieldTable::default()).await;
    let depth = found.with_context(|| format!("the queue {queue} cannot be asked"))?.message_count();
    connection.close(200, "done".into()).await?;
    Ok(depth)
}

/// One verb of `deploy/local/broker.sh` on `folder`: the same lines that `make up` starts its node with.
async fn script(verb: &str, folder: &Path) -> Result<()> {
    let mut command = Command::new(workspace_root().join("deploy/local/broker.sh"));
    command.arg(verb).arg(folder);
    run(command, verb).await
}

async fn run(command: Command, verb: &str) -> Result<()> {
    let output =
        tokio::process::Command::from(command).output().await.context("deploy/local/broker.sh cannot be run")?;
    if !output.status.success() {
        bail!("broker.sh {verb} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// RabbitMQ's management API, as far as tests need it.
#[derive(Debug, Clone)]
struct Api {
    client: reqwest::Client,
    base: Url,
}

impl Api {
    fn new(base: &str) -> Result<Self> {
        // reqwest is built without a TLS provider of its own; that one is installed already is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build()?;
        Ok(Self { client, base: Url::parse(base).context("the management API's address cannot be read")? })
    }

    fn url(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.clear().push("api").extend(path);
            }
            Err(()) => bail!("the management API's address {} is not http", self.base),
        }
        Ok(url)
    }

    async fn request(&self, method: Method, path: &[&str], body: &str) -> Result<String> {
        self.ask(method, self.url(path)?, body).await
    }

    async fn ask(&self, method: Method, url: Url, body: &str) -> Result<String> {
        let path = url.path().to_owned();
        let request =
            self.client.request(method.clone(), url).header("content-type", "application/json").body(body.to_owned());
        let response = request.send().await.context("RabbitMQ for tests does not answer: run `make up`")?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("RabbitMQ answered {status} to {method} {path}: {text}");
        }
        Ok(text)
    }

    async fn send(&self, method: Method, path: &[&str]) -> Result<()> {
        self.request(method, path, "{}").await.map(drop)
    }

    async fn make(&self, vhost: &str) -> Result<()> {
        self.send(Method::PUT, &["vhosts", vhost]).await?;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        self.request(Method::PUT, &["permissions", vhost, self.base.username()], all).await.map(drop)
    }

    /// The names in a list. They alone are asked for: RabbitMQ's statistics, which it would otherwise put beside them, can be out of
    /// order for a while, and then the whole answer is a 500.
    async fn names(&self, path: &[&str]) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Named {
            name: String,
        }
        let mut url = self.url(path)?;
        url.set_query(Some("columns=name"));
        let text = self.ask(Method::GET, url, "").await?;
        let named: Vec<Named> = serde_json::from_str(&text).context("RabbitMQ's list cannot be read")?;
        Ok(named.into_iter().map(|item| item.name).collect())
    }

    async fn remove_stale(&self) -> Result<()> {
        for name in self.names(&["vhosts"]).await?.into_iter().filter(|name| is_stale(PREFIX, name)) {
            if let Err(error) = self.send(Method::DELETE, &["vhosts", &name]).await {
                tracing::debug!(name, %error, "another test removes it already");
            }
        }
        Ok(())
    }
}
