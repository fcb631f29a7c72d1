//! Accepts connections. axum's own `serve` would wait for ever for the head of a request, and takes as many connections as come.

use crate::config::Limits;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// Serves until `soft` is cancelled, and returns when the requests that were in work have been answered.
pub async fn run(listener: TcpListener, router: Router, limits: &Limits, soft: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_timeout);
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
        let router = router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}
