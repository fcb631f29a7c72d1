//! A real S3 endpoint over a folder: `s3s` speaks the protocol and checks signatures, `s3s-fs` keeps the objects.
//!
//! What it promises, as seen in the tests of this crate: path-style requests, multipart uploads, and a `ChecksumSHA256` that is
//! compared with the body before it is stored (a mismatch is `400 BadDigest`). What it does not: conditional writes race; nothing is
//! fsynced. It is for one machine and for tests.

mod compared;
mod listed;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::{conn::auto, graceful::GracefulShutdown};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long open requests may take to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// A listening S3 endpoint. It stops when it is dropped (at once) or by [`S3Server::shutdown`] (after open requests).
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl S3Server {
    /// Serves the folder `root` (made if missing, one sub-folder a bucket) on `host:port`; port 0 takes any free one.
    /// `buckets` are created if they are missing.
    ///
    /// # Errors
    /// When the folder cannot be made or the address cannot be bound.
    pub async fn start(
        root: &Path,
        host: &str,
        port: u16,
        access_key: &str,
        secret_key: &str,
        buckets: &[String],
    ) -> Result<Self> {
        for bucket in buckets {
            let folder = root.join(bucket);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make the bucket's folder {}", folder.display()))?;
        }
        let files = s3s_fs::FileSystem::new(root)
            .map_err(|error| anyhow::anyhow!("cannot serve the folder {}: {error:?}", root.display()))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
        builder.set_access(listed::Listed);
        let listener = TcpListener::bind((host, port))
            .await
            .with_context(|| format!("cannot listen on {host}:{port}; is another S3 running there?"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, builder.build(), stopped));
        Ok(Self { address, stop: Some(stop), task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets open requests end (five seconds at most), and returns.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone only if the accept loop has ended, which is what is asked for.
            let _ = stop.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let http = auto::Builder::new(TokioExecutor::new());
    let open = GracefulShutdown::new();
    loop {
        let socket = tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: a pause lets open connections end instead of spinning.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // Answers are often one small segment after the headers: waiting to fill it costs 40 ms each.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let service = service.clone();
        let service = hyper::service::service_fn(move |request| compared::call(service.clone(), request));
        let connection = open.watch(http.serve_connection(TokioIo::new(socket), service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, open.shutdown()).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "requests were still open at shutdown and are cut");
    }
}
