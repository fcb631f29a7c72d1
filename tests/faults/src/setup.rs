//! How an installation is set up, and how each of its processes is started.

use anyhow::Result;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

/// What differs between installations.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `coordinator.toml`.
    pub settings: &'static str,
    /// What workers do in place of computing (`CFX_EXECUTOR`).
    pub executor: &'static str,
    /// What the services log.
    pub log: &'static str,
    /// Room for PostgreSQL's data and log, MiB.
    pub disk_mib: u32,
    /// A folder with the binaries of another version, to start with; those of this build otherwise.
    pub binaries: Option<PathBuf>,
    /// The first coordinator and the first worker are never killed: what grows in a process shows only in one that lives.
    pub spare_first: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            settings: SETTINGS,
            executor: "sleep:30ms",
            log: "info",
            disk_mib: 600,
            binaries: None,
            spare_first: false,
        }
    }
}

/// Times are shortened so that a loss shows within seconds; what holds must not depend on them.
const SETTINGS: &str = r#"
[tuning]
poll = "100ms"
sweep = "200ms"
worker_lost = "3s"
never_started = "4s"
batch_invert = 6
batch_mapper = 6
batch_optimise = 4
batch_most = 6
retry_cap = "1s"
"#;

/// How a process is started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct How {
    /// A crash point (`telemetry::crash_point`) with its count.
    pub crash_at: Option<String>,
    /// What `libfaketime` is told, for example `+1h`.
    pub clock: Option<&'static str>,
    /// The name of an item at which a worker dies every time (`telemetry::crash_on`).
    pub deadly: Option<String>,
    /// What a worker does in place of computing, where it is not the installation's.
    pub executor: Option<Executor>,
}

/// What a worker does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Executor {
    /// It computes.
    Real,
    /// `CFX_EXECUTOR`.
    Null(String),
}

/// Where Debian's package `faketime` puts its library.
pub fn faketime() -> Option<PathBuf> {
    let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/local/lib"];
    found.map(|folder| PathBuf::from(folder).join("faketime/libfaketime.so.1")).into_iter().find(|path| path.is_file())
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
