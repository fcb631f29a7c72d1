//! A whole Counterfactory for one story: a database, a vhost and a bucket of its own, coordinator and worker processes as they
//! ship, and `cfx` to speak to them. Everything ends with the story.

mod cfx;
mod outside;
mod packs;
mod pictures;

pub use cfx::Answer;
pub use outside::looked_at_by;
pub use packs::{PackFolder, padded_pack};
pub use pictures::{Picture, faces, pictures_of_every_trouble};

use anyhow::{Context as _, Result};
use domain::JobId;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Child, TestBucket, TestDatabase, TestVhost, wait_until, workspace_root};
use wire::http::v1::{Job, Worker};

/// Long enough for a busy machine of two cores; a story that needs more is stuck.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Times are shortened so that losses show within seconds; what holds must not depend on them.
const SETTINGS: &str = r#"
[tuning]
poll = "100ms"
sweep = "200ms"
worker_lost = "4s"
never_started = "8s"
batch_invert = 8
batch_mapper = 8
batch_optimise = 4
batch_most = 8
"#;

/// A running installation.
#[derive(Debug)]
pub struct Cluster {
    // dropped in this order: processes before what they use
    /// Worker processes.
    pub workers: Vec<Child>,
    /// Coordinator processes; the first is the one `cfx` speaks to.
    pub coordinators: Vec<Child>,
    /// Its database.
    pub database: TestDatabase,
    /// Its bucket.
    pub bucket: TestBucket,
    /// Its vhost, unless the story brought a broker of its own.
    pub vhost: Option<TestVhost>,
    broker_url: String,
    server: SocketAddr,
    folder: TempDir,
    /// Settings of its coordinators.
    own: Vec<(&'static str, String)>,
}

impl Cluster {
    /// One coordinator and `workers` workers, with the demo pack registered as `facesjs-64`.
    pub async fn start(workers: usize) -> Result<Self> {
        let vhost = TestVhost::create().await?;
        let url = vhost.url().to_owned();
        Self::start_on(url, Some(vhost), workers).await
    }

    /// No worker, and a coordinator with some settings of its own.
    pub async fn start_with(own: &[(&'static str, String)]) -> Result<Self> {
        let vhost = TestVhost::create().await?;
        let url = vhost.url().to_owned();
        Self::start_as(url, Some(vhost), 0, own).await
    }

    /// The same on the broker at `broker_url`.
    pub async fn start_on(broker_url: String, vhost: Option<TestVhost>, workers: usize) -> Result<Self> {
        Self::start_as(broker_url, vhost, workers, &[]).await
    }

    async fn start_as(
        broker_url: String,
        vhost: Option<TestVhost>,
        workers: usize,
        own: &[(&'static str, String)],
    ) -> Result<Self> {
        // another test of this process may have installed the same provider already
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("coordinator.toml"), SETTINGS)?;
        let mut cluster = Self {
            database: TestDatabase::create().await?,
            bucket: TestBucket::create().await?,
            vhost,
            coordinators: Vec::new(),
            workers: Vec::new(),
            broker_url,
            server: free_address()?,
            folder,
            own: own.to_vec(),
        };
        cluster.add_coordinator(cluster.server).await?;
        let pack = workspace_root().join("deploy/demo/pack");
        cluster.cfx(["pack", "add", &pack.to_string_lossy()]).await?.expect_code(0);
        for _ in 0..workers {
            cluster.add_worker()?;
        }
        Ok(cluster)
    }

    /// Another coordinator on the same database, broker and bucket.
    pub async fn add_second_coordinator(&mut self) -> Result<()> {
        self.add_coordinator(free_address()?).await
    }

    /// One that lets nobody in without a key, not even from this machine; its address.
    pub async fn add_guarded_coordinator(&mut self) -> Result<SocketAddr> {
        let listen = free_address()?;
        self.add_coordinator_with(listen, &[("CFX_AUTH", "keys")]).await?;
        Ok(listen)
    }

    async fn add_coordinator(&mut self, listen: SocketAddr) -> Result<()> {
        self.add_coordinator_with(listen, &[]).await
    }

    async fn add_coordinator_with(&mut self, listen: SocketAddr, own: &[(&'static str, &str)]) -> Result<()> {
        let listen_text = listen.to_string();
        let settings = self.folder.path().join("coordinator.toml");
        let arguments = ["serve", "--listen", &listen_text, "--config", &settings.to_string_lossy()];
        let mut environment = [self.settings(), self.own.clone()].concat();
        environment.extend(own.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let child = Child::spawn("coordinator", arguments, environment)?;
        self.coordinators.push(child);
        let url = format!("http://{listen}/readyz");
        wait_until("the coordinator is ready", PATIENCE, || {
            let url = url.clone();
            async move { reqwest::get(url).await.ok().filter(|r| r.status().is_success()) }
        })
        .await;
        Ok(())
    }

    /// Starts one more worker; returns its place in `workers`.
    pub fn add_worker(&mut self) -> Result<usize> {
        self.add_worker_with(&[])
    }

    /// The same with some settings of its own.
    pub fn add_worker_with(&mut self, own: &[(&'static str, String)]) -> Result<usize> {
        self.workers.push(Child::spawn("worker", ["run"], self.worker_settings(own))?);
        Ok(self.workers.len() - 1)
    }

    /// What a worker is started with, `own` last.
    pub fn worker_settings(&self, own: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
        let mut settings = self.settings();
        settings.extend([
            ("CFX_CACHE_DIR", self.cache().to_string_lossy().into_owned()),
            ("CFX_HEARTBEAT_SECONDS", "1".to_owned()),
            ("CFX_THREADS", "1".to_owned()),
        ]);
        settings.extend(own.iter().cloned());
        settings
    }

    /// The folder of packs that its workers share.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("packs")
    }

    /// Exchanges the database for an empty one: what was in the old one is gone. Its users should have been stopped.
    pub async fn lose_database(&mut self) -> Result<()> {
        self.database = TestDatabase::create_empty().await?;
        Ok(())
    }

    /// Starts the first coordinator again at its address, after it was killed.
    pub async fn restart_coordinator(&mut self) -> Result<()> {
        self.coordinators.remove(0);
        self.add_coordinator(self.server).await?;
        let restarted = self.coordinators.len() - 1;
        self.coordinators.swap(0, restarted);
        Ok(())
    }

    /// `coordinator rebuild`, and what it printed.
    pub async fn rebuild(&self) -> Result<String> {
        let (success, printed) = self.coordinator_verb(&["rebuild"]).await?;
        assert!(success, "{printed}");
        Ok(printed)
    }

    /// `coordinator rebuild` that must fail, and what it said.
    pub async fn try_rebuild(&self) -> Result<String> {
        let (success, printed) = self.coordinator_verb(&["rebuild"]).await?;
        assert!(!success, "{printed}");
        Ok(printed)
    }

    /// A verb of the coordinator that ends by itself: whether it succeeded, and what it printed.
    pub async fn coordinator_verb(&self, verb: &[&'static str]) -> Result<(bool, String)> {
        let mut settings = self.settings();
        settings.extend([("CFX_LOG", "warn".to_owned()), ("RUST_LOG", "warn".to_owned())]);
        let mut child = Child::spawn("coordinator", verb.iter().copied(), settings)?;
        let status = child.wait(PATIENCE).await;
        Ok((status.success(), child.output()))
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.bucket.settings();
        settings.push(("CFX_DATABASE_URL", self.database.url().to_owned()));
        settings.push(("CFX_BROKER_URL", self.broker_url.clone()));
        settings.push(("CFX_S3_PATH_STYLE", "true".to_owned()));
        settings.push(("RUST_LOG", "info".to_owned()));
        settings.push(("CFX_ADMIN_KEY_FILE", self.admin_key_file().to_string_lossy().into_owned()));
        settings
    }

    /// Where the first coordinator put the administrator's key.
    pub fn admin_key_file(&self) -> PathBuf {
        self.folder.path().join("admin.key")
    }

    /// The address of this installation's broker.
    pub fn broker_url(&self) -> &str {
        &self.broker_url
    }

    /// A folder that goes with the story.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `cfx` with these arguments against the first coordinator.
    pub async fn cfx<A: AsRef<str>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Answer> {
        cfx::run(&format!("http://{}", self.server), arguments).await
    }

    /// The same with an environment of its own.
    pub async fn cfx_with<A: AsRef<str>>(&self, environment: &[(&str, String)], arguments: &[A]) -> Result<Answer> {
        cfx::run_with(&format!("http://{}", self.server), environment, arguments).await
    }

    /// `cfx` with these arguments against another address that leads here, such as a [`testkit::FaultProxy`]'s.
    pub async fn cfx_through<A: AsRef<str>>(
        &self,
        address: SocketAddr,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Answer> {
        cfx::run(&format!("http://{address}"), arguments).await
    }

    /// Where the first coordinator listens.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Registers pictures under a name: writes them to a folder, then `cfx dataset add`.
    pub async fn dataset(&self, name: &str, pictures: &[Picture]) -> Result<Answer> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        for picture in pictures {
            std::fs::write(folder.join(&picture.name), &picture.bytes)?;
        }
        self.cfx(["dataset", "add", name, &folder.to_string_lossy()]).await
    }

    /// Registers pictures in the order of their names, with addresses that say nothing of this machine: for what is shown.
    pub async fn neutral_dataset(&self, name: &str, pictures: &[Picture]) -> Result<()> {
        let client = reqwest::Client::new();
        let address = |path: &str| format!("http://{}/v1{path}", self.server);
        let mut pictures: Vec<&Picture> = pictures.iter().collect();
        pictures.sort_by_key(|picture| &picture.name);
        let mut sources = Vec::new();
        for picture in pictures {
            let sha256 = domain::Digest::of(&picture.bytes);
            let stored = client.put(address(&format!("/blobs/{sha256}"))).body(picture.bytes.clone()).send().await?;
            stored.error_for_status()?;
            let uri = format!("s3://{name}/{}", picture.name);
            sources.push(serde_json::json!({ "sha256": sha256, "uri": uri, "bytes": picture.bytes.len() }));
        }
        let made = client.post(address("/datasets")).json(&serde_json::json!({ "name": name })).send().await?;
        made.error_for_status()?;
        let sources = serde_json::json!({ "sources": sources });
        let added = client.post(address(&format!("/datasets/{name}/sources"))).json(&sources).send().await?;
        added.error_for_status()?;
        Ok(())
    }

    /// Submits a job file and returns the job's id.
    pub async fn submit(&self, toml: &str) -> Result<JobId> {
        self.submit_keyed(toml, &uuid_text()).await
    }

    /// Submits a job file under an idempotency key.
    pub async fn submit_keyed(&self, toml: &str, key: &str) -> Result<JobId> {
        let file = self.folder.path().join("job.toml");
        std::fs::write(&file, toml)?;
        let arguments = ["job", "submit", &file.to_string_lossy(), "--idempotency-key", key, "--json"];
        let job: Job = self.cfx(arguments).await?.expect_code(0).json()?;
        Ok(job.id)
    }

    /// The job as the coordinator sees it now.
    pub async fn job(&self, id: JobId) -> Result<Job> {
        let text = self.get(&format!("/v1/jobs/{id}")).await?;
        serde_json::from_str(&text).with_context(|| text)
    }

    /// Waits until the job is as `fits` says.
    pub async fn until(&self, id: JobId, what: &str, fits: impl Fn(&Job) -> bool) -> Job {
        wait_until(what, PATIENCE, || async {
            let job = self.job(id).await.ok()?;
            fits(&job).then_some(job)
        })
        .await
    }

    /// Waits until the job has ended and all of its tasks have.
    pub async fn ended(&self, id: JobId) -> Job {
        self.until(id, "the job has ended", |job| {
            let over: i64 = ["succeeded", "dead", "cancelled"].into_iter().map(|s| job.count(None, s)).sum();
            job.state.is_terminal() && over == job.total()
        })
        .await
    }

    /// The workers as the coordinator sees them now.
    pub async fn seen_workers(&self) -> Result<Vec<Worker>> {
        let page: wire::http::v1::Page<Worker> = serde_json::from_str(&self.get("/v1/workers").await?)?;
        Ok(page.items)
    }

    /// GET, as text.
    pub async fn get(&self, path: &str) -> Result<String> {
        let response = reqwest::get(format!("http://{}{path}", self.server)).await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// Counts by SQL, for what the interface does not show.
    pub async fn sql_count(&self, statement: &'static str) -> Result<i64> {
        let pool = self.database.pool().await?;
        let count = sqlx::query_scalar(statement).fetch_one(&pool).await?;
        pool.close().await;
        Ok(count)
    }

    /// Waits until a count by SQL is `wanted`.
    pub async fn until_count(&self, statement: &'static str, wanted: i64) {
        wait_until(statement, PATIENCE, || async {
            self.sql_count(statement).await.ok().filter(|count| *count == wanted)
        })
        .await;
    }

    /// Texts by SQL, for what the interface does not show.
    pub async fn sql_texts(&self, statement: &'static str) -> Result<Vec<String>> {
        let pool = self.database.pool().await?;
        let texts = sqlx::query_scalar(statement).fetch_all(&pool).await?;
        pool.close().await;
        Ok(texts)
    }

    /// Downloads the results of a job and holds every file against its record: what any reader would do.
    pub async fn fetch_and_verify(&self, id: JobId) -> Result<Vec<PathBuf>> {
        self.fetch_and_verify_with(id, &workspace_root().join("deploy/demo/pack")).await
    }

    /// The same for a job on the pack in the folder `pack`.
    pub async fn fetch_and_verify_with(&self, id: JobId, pack: &Path) -> Result<Vec<PathBuf>> {
        let to = self.folder.path().join(format!("results-{id}"));
        let to_text = to.to_string_lossy().into_owned();
        self.cfx(["result", "fetch", &id.to_string(), "--to", &to_text]).await?.expect_code(0);
        self.cfx(["verify", &to_text, "--pack", &pack.to_string_lossy()]).await?.expect_code(0);
        let mut files = Vec::new();
        for edit in std::fs::read_dir(&to)?.filter_map(Result::ok).filter(|e| e.path().is_dir()) {
            files.extend(std::fs::read_dir(edit.path())?.filter_map(Result::ok).map(|e| e.path()));
        }
        files.sort();
        Ok(files)
    }

    /// What must hold for every ended job, whatever happened on the way: one terminal state a task (I1), one result a
    /// succeeded edit and none for another (I2), no count that drifted (I6), attempts within their limits (I7).
    pub async fn assert_invariants(&self) -> Result<()> {
        let counts = [
            (
                "tasks that are not terminal",
                "SELECT count(*) FROM tasks WHERE state NOT IN ('succeeded', 'dead', 'cancelled')",
            ),
            (
                "succeeded edits without exactly one result",
                "SELECT count(*) FROM tasks t LEFT JOIN results r USING (job_seq, no) \
                 WHERE t.stage = 'edit' AND (t.state = 'succeeded') <> (r.no IS NOT NULL)",
            ),
            (
                "results whose record is missing",
                "SELECT count(*) FROM results r LEFT JOIN records d ON d.digest = r.record WHERE d.digest IS NULL",
            ),
            (
                "counts that differ from the tasks",
                "SELECT count(*) FROM \
                   (SELECT job_seq, stage, state, sum(n) AS n FROM \
                      (SELECT job_seq, stage, state, n FROM count_deltas \
                       UNION ALL SELECT job_seq, stage, state, n FROM job_rollups) both_parts \
                    GROUP BY 1, 2, 3 HAVING sum(n) <> 0) counted \
                 FULL JOIN (SELECT job_seq, stage, state, count(*) AS n FROM tasks GROUP BY 1, 2, 3) held \
                 USING (job_seq, stage, state) WHERE counted.n IS DISTINCT FROM held.n",
            ),
            (
                "verdicts that differ from the results",
                "SELECT count(*) FROM \
                   (SELECT job_seq, edit_no, verdict::text, reason, n FROM edit_verdicts WHERE n <> 0) counted \
                 FULL JOIN ( \
                   SELECT job_seq, edit_no, k.verdict, reason, count(*) AS n FROM results r \
                   CROSS JOIN LATERAL (SELECT CASE r.verdict WHEN 'accept' THEN 'accepted' WHEN 'reject' THEN 'rejected' \
                                              ELSE 'unjudged' END AS verdict) AS k \
                   CROSS JOIN LATERAL unnest(array_prepend('', r.rejected_for)) AS reason GROUP BY 1, 2, 3, 4) told \
                 USING (job_seq, edit_no, verdict, reason) WHERE counted.n IS DISTINCT FROM told.n",
            ),
            ("tasks tried too often", "SELECT count(*) FROM tasks WHERE attempts > 4 OR losses > 11"),
        ];
        for (what, statement) in counts {
            let found = self.sql_count(statement).await?;
            assert_eq!(found, 0, "{found} {what}");
        }
        Ok(())
    }
}

/// Task counts of a job by state, over all stages.
pub fn by_state(job: &Job) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for count in job.counts.iter().filter(|c| c.tasks > 0) {
        *counts.entry(count.state.clone()).or_default() += count.tasks;
    }
    counts
}

/// An address of this machine that nothing listens on just now.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}

fn uuid_text() -> String {
    uuid::Uuid::new_v4().to_string()
}
