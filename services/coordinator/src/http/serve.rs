//! Accepts connections, encrypted or not. axum's own `serve` would wait for ever for the head of a request, and takes as many
//! connections as come.

use crate::config::Limits;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// What answers one connection. Cheap to clone.
#[derive(Clone)]
struct Answering {
    builder: Builder<TokioExecutor>,
    router: Router,
    tls: Option<TlsAcceptor>,
    /// Longest time until a connection is encrypted.
    patience: Duration,
    soft: CancellationToken,
}

/// Serves until `soft` is cancelled, and returns when the requests that were in work have been answered.
pub async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: &Limits,
    soft: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
    let answering = Answering { builder, router, tls, patience: limits.header_timeout, soft: soft.clone() };
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        // the place is taken before the connection, so that those above the limit wait in the system's queue
        let accepted = async {
            // safe because it is never closed
            let place = Arc::clone(&connections).acquire_owned().await.expect("an open semaphore");
            listener.accept().await.map(|connection| (place, connection))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = soft.cancelled() => break,
        };
        let (place, (stream, peer)) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that broke at once, or no file descriptor is left: neither ends the service.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // answers are written whole; waiting to fill a packet only delays them
        let _ = stream.set_nodelay(true);
        let (answering, watcher) = (answering.clone(), graceful.watcher());
        tokio::spawn(async move {
            answering.connection(stream, peer, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

impl Answering {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, watcher: Watcher) {
        let Some(tls) = &self.tls else { return self.requests(stream, peer, watcher).await };
        let encrypted = tokio::time::timeout(self.patience, tls.accept(stream));
        match self.soft.run_until_cancelled(encrypted).await {
            Some(Ok(Ok(stream))) => self.requests(stream, peer, watcher).await,
            Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "a connection was not encrypted"),
            // too slow, or nothing was asked before the end
            Some(Err(_)) | None => {}
        }
    }

    async fn requests<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        watcher: Watcher,
    ) {
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(%peer, error, "a connection ended early");
        }
    }
}
