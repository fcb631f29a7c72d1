//! PostgreSQL on a host of its own, by TLS only.

use crate::host::{Host, quiet};
use crate::pki::Pki;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use testkit::Child;

/// Longest that it may take to end.
const ROOM: Duration = Duration::from_secs(60);

/// The server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    host: Host,
    bin: PathBuf,
    folder: PathBuf,
    child: Child,
    /// `postgres://…`, with the authority that its certificate is checked against.
    pub url: String,
}

impl Postgres {
    /// Makes a cluster in `folder` and starts it.
    ///
    /// # Errors
    /// When PostgreSQL is not installed (`make install`) or refuses.
    pub fn start(host: &Host, folder: &Path, pki: &Pki, password: &str) -> Result<Self> {
        let bin = faults::database::binaries()?;
        std::fs::create_dir_all(folder)?;
        let (certificate, key) = pki.issue(&host.name, host)?;
        std::fs::write(folder.join("password"), password)?;
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            std::fs::copy(from, folder.join(to))?;
        }
        quiet(Command::new("chmod").arg("600").args([folder.join("server.key"), folder.join("password")]))?;
        quiet(Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder))?;
        let data = folder.join("data");
        let mut initdb = as_owner(Command::new("setpriv"), &bin, "initdb", folder);
        initdb.args(["--username=cfx", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.arg(format!("--pwfile={}", folder.join("password").display()));
        quiet(initdb.arg(format!("--pgdata={}", data.display())))?;
        // nothing but TLS with a password, whoever asks
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 10.77.0.0/24 scram-sha-256\n")?;
        quiet(Command::new("chown").arg("postgres:postgres").arg(data.join("pg_hba.conf")))?;
        let url = format!(
            "postgres://cfx:{password}@{}:5432/postgres?sslmode=verify-full&sslrootcert={}",
            host.address,
            pki.authority().display()
        );
        let child = run(host, &bin, folder)?;
        Ok(Self { host: host.clone(), bin, folder: folder.to_owned(), child, url })
    }

    /// A fast shutdown and a start, as an upgrade of its package does.
    ///
    /// # Errors
    /// When it does not end or start.
    pub async fn restart(&mut self) -> Result<()> {
        quiet(Command::new("kill").args(["-s", "INT", &self.child.pid().to_string()]))?;
        self.child.wait(ROOM).await;
        self.child = run(&self.host, &self.bin, &self.folder)?;
        Ok(())
    }
}

/// PostgreSQL refuses to run as root.
fn as_owner(mut setpriv: Command, bin: &Path, program: &str, folder: &Path) -> Command {
    setpriv.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(bin.join(program));
    setpriv.current_dir(folder);
    setpriv
}

fn run(host: &Host, bin: &Path, folder: &Path) -> Result<Child> {
    let mut command = as_owner(host.command("setpriv"), bin, "postgres", folder);
    command.arg("-D").arg(folder.join("data"));
    let listen = format!("listen_addresses={}", host.address);
    let certificate = format!("ssl_cert_file={}", folder.join("server.crt").display());
    let key = format!("ssl_key_file={}", folder.join("server.key").display());
    // nothing here cuts the power, so what the kernel has been given is safe
    for setting in
        [listen.as_str(), &certificate, &key, "ssl=on", "unix_socket_directories=", "max_connections=80", "fsync=off"]
    {
        command.args(["-c", setting]);
    }
    command.args(["-c", "shared_buffers=128MB", "-c", "max_wal_size=512MB"]);
    // a host that vanished holds its locks until its connections are given up: half a minute, not two hours
    for setting in
        ["tcp_keepalives_idle=10", "tcp_keepalives_interval=5", "tcp_keepalives_count=3", "tcp_user_timeout=25s"]
    {
        command.args(["-c", setting]);
    }
    Child::spawn_command("postgres", command)
}
