//! What others may ask this worker, if it is told to listen: its metrics, and whether it is alive and takes work. Nothing listens by
//! default, nothing that is answered here changes anything, and nothing of a request but its path is read: this is no interface, of
//! which the coordinator has the only one.

use crate::drain::Drain;
use crate::report::Reporter;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Guard;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Coordinators take a worker for lost that was not heard for 45 s; one that could not speak for so long had better start again.
const SILENT: Duration = Duration::from_secs(60);
/// Connections at once; others wait.
const CONNECTIONS: usize = 16;
/// A request that takes longer to arrive is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// What there is to tell.
#[derive(Clone)]
struct Probe {
    metrics: Guard,
    reporter: Reporter,
    drain: Drain,
}

/// Listens on `address` for as long as the process lives.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn listen(address: SocketAddr, metrics: Guard, reporter: Reporter, drain: Drain) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics and probes are answered");
    tokio::spawn(serve(listener, Probe { metrics, reporter, drain }));
    Ok(())
}

async fn serve(listener: TcpListener, probe: Probe) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // the semaphore is never closed
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics cannot be taken");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let probe = probe.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answer = probe.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
                tracing::debug!(%error, "a connection for metrics broke");
            }
            drop(place);
        });
    }
}

impl Probe {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, text) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => (StatusCode::OK, self.metrics.render()),
            (&Method::GET, "/healthz") => match self.reporter.unheard() {
                silent if silent > SILENT => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("no heartbeat was confirmed for {} s\n", silent.as_secs()),
                ),
                _ => (StatusCode::OK, "alive\n".to_owned()),
            },
            (&Method::GET, "/readyz") => match (self.drain.is_begun(), self.reporter.was_heard()) {
                (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
                (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not connected yet\n".to_owned()),
                (false, true) => (StatusCode::OK, "takes work\n".to_owned()),
            },
            _ => (StatusCode::NOT_FOUND, "here are /metrics, /healthz and /readyz\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}
