//! A TCP proxy that breaks connections on demand. It knows no protocol, so it stands before RabbitMQ, PostgreSQL or S3 alike.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with bytes, from now on, on open connections and new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes pass.
    None,
    /// Open connections are closed, new ones are closed as soon as they are accepted: the server is down.
    Cut,
    /// Connections stay open and are accepted, but no byte passes either way: the network is gone. Bytes sent meanwhile are
    /// delivered if the fault ends before somebody gives up, as TCP would.
    Blackhole,
    /// Every chunk of bytes (of 64 KiB at most) waits this long, in each direction.
    Delay(Duration),
    /// Connections that are open carry no byte any more, for good, and stay open: the peer is gone and nobody said so. New ones
    /// pass.
    HalfOpen,
    /// Open connections are closed; on a new one this text is the answer to whatever comes first, and then it is closed. The
    /// server is not asked.
    Answer(&'static str),
    /// At most this many bytes of each chunk come back from the server, and then the connection ends.
    Truncate(usize),
    /// The last byte of each chunk from the server is changed.
    Garble,
}

/// Listens on a free port of 127.0.0.1 and passes bytes to one server, until told to break that.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    traffic: Arc<Traffic>,
    task: JoinHandle<()>,
}

/// Bytes that have passed, and how many may.
#[derive(Debug)]
struct Traffic {
    to_server: Meter,
    to_client: Meter,
}

#[derive(Debug)]
struct Meter {
    passed: AtomicU64,
    limit: AtomicU64,
}

impl Default for Meter {
    fn default() -> Self {
        Self { passed: AtomicU64::new(0), limit: AtomicU64::new(u64::MAX) }
    }
}

impl Meter {
    fn cut_after(&self, bytes: u64) {
        self.limit.store(self.passed.load(Ordering::SeqCst).saturating_add(bytes), Ordering::SeqCst);
    }

    /// Whether so many more may pass.
    fn take(&self, bytes: usize) -> bool {
        let passed = self.passed.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64;
        passed <= self.limit.load(Ordering::SeqCst)
    }
}

impl FaultProxy {
    /// Starts a proxy to `upstream` (`host:port`) that passes everything.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(upstream: impl Into<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port is free for the fault proxy")?;
        let address = listener.local_addr()?;
        let (fault, watched) = watch::channel(Fault::None);
        let traffic = Arc::new(Traffic { to_server: Meter::default(), to_client: Meter::default() });
        let wire = Wire { fault: watched, cut: fault.clone(), traffic: Arc::clone(&traffic) };
        let task = tokio::spawn(accept(listener, upstream.into(), wire));
        Ok(Self { address, fault, traffic, task })
    }

    /// Starts a proxy to the server that `url` names, and gives the same URL with the proxy's address in it.
    ///
    /// # Errors
    /// When `url` has no host or port, or no port is free.
    pub async fn before(url: &str) -> Result<(Self, String)> {
        let mut through = reqwest::Url::parse(url).with_context(|| format!("{url} is not a URL"))?;
        let host = through.host_str().context("the URL names no host")?;
        let port = through.port_or_known_default().context("the URL names no port")?;
        let proxy = Self::start(format!("{host}:{port}")).await?;
        through.set_host(Some("127.0.0.1")).context("the URL takes no other host")?;
        through.set_port(Some(proxy.address.port())).ok().context("the URL takes no other port")?;
        Ok((proxy, through.to_string()))
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to bytes, at once. Limits of [`FaultProxy::cut_after_brought`] and its twin end.
    pub fn set(&self, fault: Fault) {
        for meter in [&self.traffic.to_server, &self.traffic.to_client] {
            meter.limit.store(u64::MAX, Ordering::SeqCst);
        }
        self.fault.send_replace(fault);
    }

    /// Bytes that have come from the server, over all connections.
    #[must_use]
    pub fn brought(&self) -> u64 {
        self.traffic.to_client.passed.load(Ordering::SeqCst)
    }

    /// Bytes that have gone to the server.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.traffic.to_server.passed.load(Ordering::SeqCst)
    }

    /// [`Fault::Cut`] once so many more bytes have come from the server: it dies in the middle of an answer.
    pub fn cut_after_brought(&self, bytes: u64) {
        self.traffic.to_client.cut_after(bytes);
    }

    /// Passes everything, and is cut again once so many more bytes have come from the server. The limit is there before the first
    /// byte passes.
    pub fn bring(&self, bytes: u64) {
        self.cut_after_brought(bytes);
        self.fault.send_replace(Fault::None);
    }

    /// [`Fault::Cut`] once so many more bytes have gone to the server: it dies in the middle of a request.
    pub fn cut_after_sent(&self, bytes: u64) {
        self.traffic.to_server.cut_after(bytes);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection needs to know.
#[derive(Clone)]
struct Wire {
    fault: watch::Receiver<Fault>,
    cut: watch::Sender<Fault>,
    traffic: Arc<Traffic>,
}

async fn accept(listener: TcpListener, upstream: String, wire: Wire) {
    // Dropped with the task when the proxy is dropped, which ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(connect(client, upstream.clone(), wire.clone()));
                }
                Err(error) => tracing::warn!(%error, "the fault proxy cannot accept"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection: ends when either side does, or when it is cut.
async fn connect(client: TcpStream, upstream: String, wire: Wire) {
    let mut fault = wire.fault.clone();
    let at_birth = *fault.borrow();
    match at_birth {
        Fault::Cut => return,
        Fault::Answer(text) => return answer(client, text).await,
        _ => {}
    }
    let server = match TcpStream::connect(&upstream).await {
        Ok(server) => server,
        Err(error) => {
            tracing::debug!(%error, upstream, "the server behind the fault proxy refuses");
            return;
        }
    };
    // The proxy must not add the delays of its own that joining small segments would.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let way = |back| Way { back, survives: at_birth == Fault::HalfOpen };
    let up = pass(from_client, to_server, &wire, &wire.traffic.to_server, way(false));
    let down = pass(from_server, to_client, &wire, &wire.traffic.to_client, way(true));
    tokio::select! {
        () = async { tokio::join!(up, down); } => {}
        _ = fault.wait_for(|fault| matches!(fault, Fault::Cut | Fault::Answer(_))) => {}
    }
}

/// Says `text` to whatever comes first.
async fn answer(mut client: TcpStream, text: &str) {
    let mut asked = vec![0; 64 * 1024];
    let said = async {
        if client.read(&mut asked).await? > 0 {
            client.write_all(text.as_bytes()).await?;
        }
        client.shutdown().await?;
        // Closing with bytes unread would reset the connection, and the answer with it.
        while client.read(&mut asked).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A client that goes on sending for seconds has had its answer.
    let _ = tokio::time::timeout(Duration::from_secs(2), said).await;
}

/// What one direction is to do.
#[derive(Clone, Copy)]
struct Way {
    /// From the server to the client.
    back: bool,
    /// Opened under [`Fault::HalfOpen`], so not one of those that carry nothing.
    survives: bool,
}

/// One direction, until its source ends.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, wire: &Wire, meter: &Meter, way: Way) {
    let mut fault = wire.fault.clone();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => length,
        };
        // A sender that is gone means the proxy is being dropped: there is nobody left to pass bytes for.
        let Ok(now) = fault.wait_for(|fault| *fault != Fault::Blackhole).await.map(|fault| *fault) else { break };
        let mut passed = length;
        match now {
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::HalfOpen if !way.survives => std::future::pending().await,
            Fault::Truncate(most) if way.back => passed = length.min(most),
            Fault::Garble if way.back => buffer[length - 1] ^= 1,
            _ => {}
        }
        if !meter.take(passed) {
            wire.cut.send_replace(Fault::Cut);
            break;
        }
        if to.write_all(&buffer[..passed]).await.is_err() || passed < length {
            break;
        }
    }
    // The other direction may still have bytes to bring: only this one is closed.
    let _ = to.shutdown().await;
}
