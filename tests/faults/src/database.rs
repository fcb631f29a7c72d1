//! A PostgreSQL server for the harness alone: stopped, killed, set back to an older copy, its disk filled.

use anyhow::{Context as _, Result, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use testkit::{Child, wait_until};

use std::sync::Mutex;
use std::time::Duration;

const ROOM: Duration = Duration::from_secs(60);

/// A server on a free port. It is stopped, and its folder removed, when this is dropped.
#[derive(Debug)]
pub struct Database {
    server: Mutex<Option<Child>>,
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    /// True if the folder is a disk of its own, which can be filled.
    own_disk: bool,
}

impl Database {
    /// Makes a cluster and starts it, on a disk of its own of `disk_mib` MiB where that can be had.
    ///
    /// # Errors
    /// When PostgreSQL is not installed (`make install`) or does not start.
    pub async fn start(disk_mib: u32) -> Result<Self> {
        let bin = binaries()?;
        let folder = TempDir::with_prefix("cfx-faults-pg-")?;
        let size = format!("size={disk_mib}m");
        let path = folder.path().to_string_lossy().into_owned();
        // only root may; without it the faults of a full disk are reported as skipped
        let own_disk = quiet(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none", &path])).is_ok();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let made = Self { server: Mutex::new(None), bin, folder, port, own_disk };
        if is_root() {
            quiet(Command::new("chown").args(["-R", "postgres:postgres", &path]))?;
        }
        let data = made.data();
        let mut initdb = made.as_owner("initdb");
        initdb.args(["--username=cfx", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        quiet(initdb.arg(format!("--pgdata={}", data.display())))?;
        made.run().await?;
        made.query("postgres", "CREATE DATABASE cfx").await?;
        Ok(made)
    }

    /// `postgres://…`, not through any proxy.
    pub fn url(&self) -> String {
        format!("postgres://cfx@127.0.0.1:{}/cfx", self.port)
    }

    /// Whether the disk can be filled.
    pub const fn has_own_disk(&self) -> bool {
        self.own_disk
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// PostgreSQL refuses to run as root.
    fn as_owner(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.folder.path());
        command
    }

    /// Starts the server, unless it runs.
    ///
    /// # Errors
    /// When it does not start within a minute.
    pub async fn run(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        let mut command = self.as_owner("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        // nothing here cuts the power, so what the kernel has been given is safe
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=60", "fsync=off"] {
            command.args(["-c", setting]);
        }
        command.args(["-c", "shared_buffers=64MB", "-c", "max_wal_size=128MB", "-c", "min_wal_size=32MB"]);
        let child = Child::spawn_command("postgres", command)?;
        *self.lock() = Some(child);
        wait_until("PostgreSQL answers", ROOM, || async { self.query("postgres", "SELECT 1").await.ok() }).await;
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.lock().as_mut().is_some_and(|child| matches!(child.ended(), Ok(None)))
    }

    /// SIGQUIT: every session is cut and nothing is written down; the next start recovers from the log. Waits until it is gone.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn crash(&self) -> Result<()> {
        self.stop("QUIT").await
    }

    /// SIGINT: sessions are cut, a checkpoint is written.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn shut_down(&self) -> Result<()> {
        self.stop("INT").await
    }

    async fn stop(&self, signal: &str) -> Result<()> {
        let Some(mut child) = self.lock().take() else { return Ok(()) };
        if child.ended()?.is_none() {
            quiet(Command::new("kill").args(["-s", signal, &child.pid().to_string()]))?;
            child.wait(ROOM).await;
        }
        Ok(())
    }

    /// Keeps a copy of everything as it is; the server is stopped for that moment.
    ///
    /// # Errors
    /// When the disk is too small, or the server does not come back.
    pub async fn keep_copy(&self) -> Result<()> {
        self.shut_down().await?;
        let kept = self.folder.path().join("kept");
        let copied = remove(&kept).and_then(|()| copy(&self.data(), &kept));
        self.run().await?;
        copied
    }

    /// Crashes, and comes back as the copy was: every commit since is lost.
    ///
    /// # Errors
    /// When there is no copy, or the server does not come back.
    pub async fn restore_copy(&self) -> Result<()> {
        let kept = self.folder.path().join("kept");
        if !kept.is_dir() {
            bail!("no copy was kept");
        }
        self.crash().await?;
        remove(&self.data())?;
        std::fs::rename(&kept, self.data())?;
        self.run().await
    }

    /// Fills the disk to the last byte.
    ///
    /// # Errors
    /// When it has no disk of its own.
    pub fn fill_disk(&self) -> Result<()> {
        if !self.own_disk {
            bail!("the data is not on a disk of its own");
        }
        // `dd` ends with an error when the disk is full, which is what is wanted
        let ballast = format!("of={}", self.folder.path().join("ballast").display());
        let _ = Command::new("dd").args(["if=/dev/zero", "bs=64k", &ballast]).output()?;
        Ok(())
    }

    /// Frees it, and starts the server again if it gave up.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn free_disk(&self) -> Result<()> {
        let ballast = self.folder.path().join("ballast");
        if ballast.exists() {
            std::fs::remove_file(ballast)?;
        }
        self.run().await
    }

    /// Runs a statement as administrator, on a connection of its own.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn query(&self, database: &str, statement: &'static str) -> Result<()> {
        use sqlx::Connection as _;
        let url = format!("postgres://cfx@127.0.0.1:{}/{database}", self.port);
        let asking = async {
            let mut connection = sqlx::PgConnection::connect(&url).await?;
            sqlx::raw_sql(statement).execute(&mut connection).await?;
            connection.close().await
        };
        tokio::time::timeout(Duration::from_secs(5), asking).await.context("PostgreSQL does not answer")??;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(mut child) = self.lock().take() {
            let _ = quiet(Command::new("kill").args(["-s", "QUIT", &child.pid().to_string()]));
            for _ in 0..100 {
                if !matches!(child.ended(), Ok(None)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if self.own_disk {
            let _ = quiet(Command::new("umount").arg("--lazy").arg(self.folder.path()));
        }
    }
}

/// Whether this process may do anything.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// The folder with `initdb`, the newest of Debian's or the one on the path.
///
/// # Errors
/// When PostgreSQL is not installed.
pub fn binaries() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|v| v.path().join("bin")).filter(|b| b.join("initdb").is_file()).collect();
    found.sort();
    let on_path =
        || std::env::var_os("PATH").and_then(|p| std::env::split_paths(&p).find(|b| b.join("initdb").is_file()));
    found.pop().or_else(on_path).context("PostgreSQL's server programs are missing: run `make install`")
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() { Ok(std::fs::remove_dir_all(folder)?) } else { Ok(()) }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    quiet(Command::new("cp").arg("-a").arg(from).arg(to)).map(drop)
}

/// Runs a program; what it printed.
///
/// # Errors
/// With all its words, if it fails.
pub fn quiet(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?} cannot be run"))?;
    if !output.status.success() {
        let words = [&output.stdout, &output.stderr].map(|words| String::from_utf8_lossy(words).into_owned());
        bail!("{command:?} failed: {}", words.concat().trim());
    }
    Ok(output)
}
