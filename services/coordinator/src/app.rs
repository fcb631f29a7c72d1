//! What every part works with, and the wiring of the parts: which loops run, and how the process ends.
//!
//! Ending: the first signal cancels the soft token. The HTTP interface answers what it has, each loop ends after its step,
//! outcomes in hand are settled. What takes longer than the grace period, or a second signal, is cut off; nothing needs repair
//! after that, because every step is one transaction.

use crate::access::Gate;
use crate::config::Config;
use crate::dashboard::thumbs::Thumbs;
use crate::dispatch::Dispatch;
use crate::enqueue::Enqueue;
use crate::import::ImportPrefixes;
use crate::lineage::Teller;
use crate::live::Live;
use crate::pods::Pods;
use crate::relay::Relay;
use crate::signing::Signing;
use crate::sweep::{self, Reconciler};
use crate::wake::Wake;
use crate::{http, outcomes, signing};
use anyhow::Context;
use artifacts::{Artifacts, Presigner, S3Config};
use broker::{Publisher, Uptime};
use std::sync::Arc;
use std::time::Duration;
use store::{Store, StoreConfig};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Cheap to clone: handles only.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// Postgres.
    pub store: Store,
    /// The bucket.
    pub artifacts: Artifacts,
    /// What signs addresses in it for others.
    pub uploads: Arc<Presigner>,
    /// RabbitMQ, for sending.
    pub publisher: Publisher,
    /// The key that signs.
    pub signing: Signing,
    /// For how long this process has been hearing workers.
    pub listening: Uptime,
    /// What pages and streams are told.
    pub live: Arc<Live>,
    /// Small images of pages.
    pub thumbs: Arc<Thumbs>,
    /// Bells between the loops.
    pub wake: Arc<Wake>,
    /// What was measured.
    pub metrics: telemetry::Guard,
    /// This process, for leases.
    pub holder: Arc<str>,
    /// What all requests share.
    pub gate: Arc<Gate>,
}

impl App {
    /// Connects to everything.
    ///
    /// # Errors
    /// Says which service does not answer, or that the schema is behind.
    pub async fn connect(config: Config, metrics: telemetry::Guard) -> anyhow::Result<Self> {
        let settings = StoreConfig { url: config.database_url.clone(), max_connections: config.database_connections };
        let store = Store::connect(&settings).await.context("cannot reach Postgres; check CFX_DATABASE_URL")?;
        store.check().await?;
        let artifacts = bucket(&config.bucket);
        artifacts.check().await.context("cannot use the bucket; check CFX_S3_BUCKET, CFX_S3_ENDPOINT and the keys")?;
        let uploads = Arc::new(presigner(&config.bucket));
        let publisher = Publisher::start(crate::config::broker(&config));
        let signing = Signing::open(&store, config.signer.clone()).await.context("there is no key to sign with")?;
        let holder = format!("{}/{}", std::process::id(), uuid::Uuid::new_v4()).into();
        let gate = Arc::new(Gate::new(&config)?);
        Ok(Self {
            config: Arc::new(config),
            store,
            artifacts,
            uploads,
            publisher,
            signing,
            listening: Uptime::default(),
            live: Arc::default(),
            thumbs: Arc::default(),
            wake: Arc::default(),
            metrics,
            holder,
            gate,
        })
    }

    /// Runs the loops and the HTTP interface on `listener` until `soft` is cancelled, and then ends in good order or, after the
    /// grace period, without it.
    ///
    /// # Errors
    /// When TLS is asked for and cannot be had: a certificate that does not fit its key, or a machine without any roots.
    pub async fn serve(self, listener: TcpListener, soft: CancellationToken) -> anyhow::Result<()> {
        let tracker = TaskTracker::new();
        let lineage = self.config.lineage.clone().map(Teller::new).transpose().context("no TLS for OpenLineage")?;
        let tls = match &self.config.tls {
            Some(files) => {
                let certificates = http::tls::Certificates::open(files).context("HTTPS is not possible")?;
                let acceptor = certificates.acceptor().context("HTTPS is not possible")?;
                tracker.spawn(certificates.follow(soft.clone()));
                Some(acceptor)
            }
            None => None,
        };
        let pods =
            self.config.kubernetes.as_ref().map(Pods::open).transpose().context("pods cannot be told their cost")?;
        self.start_loops(&tracker, &soft, lineage, pods);
        let router = http::router(self.clone());
        let (live, closing) = (Arc::clone(&self.live), soft.clone());
        tracker.spawn(async move {
            closing.cancelled().await;
            // streams end only when they are told to, and the HTTP interface waits for them
            live.close();
        });
        let stop = soft.clone();
        let serving = http::serve::run(listener, tls, router, &self.config.limits, stop);
        let grace = self.config.tuning.shutdown;
        let cut = async {
            soft.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = serving => {}
            () = cut => tracing::warn!("some requests did not end within the grace period"),
        }
        soft.cancel();
        tracker.close();
        if tokio::time::timeout(grace, tracker.wait()).await.is_err() {
            tracing::warn!("some loops did not end within the grace period; their transactions are rolled back");
        }
        // a connection whose other end is gone is never given back
        if tokio::time::timeout(grace, self.store.close()).await.is_err() {
            tracing::warn!("some connections to Postgres did not end within the grace period; they are cut off");
        }
        Ok(())
    }

    fn start_loops(
        &self,
        tracker: &TaskTracker,
        soft: &CancellationToken,
        lineage: Option<Teller>,
        pods: Option<Pods>,
    ) {
        let tuning = &self.config.tuning;
        let (poll, slow) = (tuning.poll, tuning.sweep);
        let start = Loops { app: self, tracker, soft };
        start.woken(Enqueue::new(self.clone()), poll, |wake| &wake.enqueue);
        start.woken(Dispatch { app: self.clone() }, poll, |wake| &wake.dispatch);
        start.woken(Relay { app: self.clone() }, poll, |wake| &wake.relay);
        start.woken(ImportPrefixes { app: self.clone() }, slow, |wake| &wake.import);
        start.woken(sweep::SettleJobs { app: self.clone() }, slow, |wake| &wake.settle);
        start.every(sweep::Archive { app: self.clone() }, slow);
        start.every(sweep::CancelSlices { app: self.clone() }, slow);
        start.every(sweep::Deadlines { app: self.clone() }, slow);
        start.every(sweep::DueRetries { app: self.clone() }, slow);
        start.every(sweep::LostWorkers { app: self.clone() }, slow);
        let settled = sweep::ProbeWorkers::SETTLED;
        start.every(sweep::ProbeWorkers { app: self.clone(), settled }, slow);
        start.every(sweep::NeverStarted { app: self.clone(), patience: sweep::Patience::default() }, slow);
        start.every(sweep::RearmProducers { app: self.clone() }, slow);
        start.every(sweep::DeadGates { app: self.clone() }, slow);
        start.every(sweep::SealJobs { app: self.clone() }, slow);
        start.every(sweep::FoldDeltas { app: self.clone() }, slow);
        start.every(sweep::Measure { app: self.clone() }, slow.max(Duration::from_secs(5)));
        start.every(sweep::Forget { app: self.clone() }, slow.max(Duration::from_secs(60)));
        start.every(signing::NoticeKeys::new(self.clone()), slow.max(Duration::from_secs(2)));
        tracker.spawn(signing::run(self.clone(), soft.clone()));
        if let Some(teller) = lineage {
            start.every(sweep::TellLineage { app: self.clone(), teller }, slow);
        }
        if let Some(pods) = pods {
            start.every(sweep::SparePods::new(self.clone(), pods), slow.max(Duration::from_secs(10)));
        }
        tracker.spawn(outcomes::run(self.clone(), soft.clone()));
    }
}

/// Starts loops on a tracker.
struct Loops<'a> {
    app: &'a App,
    tracker: &'a TaskTracker,
    soft: &'a CancellationToken,
}

impl Loops<'_> {
    fn every<R: Reconciler>(&self, reconciler: R, pause: Duration) {
        self.tracker.spawn(sweep::run(reconciler, pause, None, self.soft.clone()));
    }

    fn woken<R: Reconciler>(&self, reconciler: R, pause: Duration, bell: fn(&Wake) -> &Notify) {
        let (wake, soft) = (Arc::clone(&self.app.wake), self.soft.clone());
        self.tracker.spawn(async move { sweep::run(reconciler, pause, Some(bell(&wake)), soft).await });
    }
}

/// A handle on the bucket.
pub fn bucket(settings: &crate::config::Bucket) -> Artifacts {
    Artifacts::connect(&s3(settings))
}

/// What signs addresses in the bucket for others.
pub fn presigner(settings: &crate::config::Bucket) -> Presigner {
    Presigner::connect(&s3(settings), settings.public_endpoint.clone())
}

fn s3(settings: &crate::config::Bucket) -> S3Config {
    let crate::config::Bucket { name, endpoint, public_endpoint: _, region, path_style, access_key, secret_key } =
        settings;
    S3Config::new(endpoint.clone(), region, name, access_key, secret_key, *path_style)
}
