//! The workspace's own binaries as processes of a test: started, asked to stop, killed, frozen.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::waiting::wait_until;

/// The path of a binary of this workspace (`coordinator`, `worker`, `cfx`) beside the running test.
///
/// # Errors
/// When it is not built; the message says how to.
pub fn workspace_binary(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("the test does not know its own path")?;
    // target/<profile>/deps/<test>: the binaries lie one folder up.
    let path = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    path.with_context(|| format!("the binary {name} is not built: run `cargo build --workspace --bins` first"))
}

/// Processor seconds, the system's for it included, of the process or thread whose `stat` file of proc(5) this is.
///
/// # Errors
/// When it has ended, or the file holds something else.
pub fn processor_seconds(stat: &Path) -> Result<f64> {
    /// Linux tells them in these whatever its own tick.
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string(stat).with_context(|| format!("cannot read {}", stat.display()))?;
    // the name, in brackets, may hold anything; user and system time are the 12th and 13th after it
    let (_, rest) = text.rsplit_once(')').context("a stat file has a name in brackets")?;
    let fields = rest.split_ascii_whitespace().skip(11).take(2);
    let ticks: f64 = fields
        .map(|field| field.parse::<f64>().with_context(|| format!("{}: '{field}' is no number", stat.display())))
        .sum::<Result<f64>>()?;
    Ok(ticks / TICKS_A_SECOND)
}

/// A child process. It is killed when this is dropped; what it wrote is printed if the test panics.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    output: Arc<Mutex<String>>,
}

impl Child {
    /// Starts the workspace's binary `name` with `arguments` and `environment` added to an otherwise empty set of `CFX_*`
    /// variables, so that the shell of whoever runs the tests does not matter.
    ///
    /// # Errors
    /// When it is not built or cannot be started.
    pub fn spawn<A, E, K, V>(name: &str, arguments: A, environment: E) -> Result<Self>
    where
        A: IntoIterator,
        A::Item: AsRef<OsStr>,
        E: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let mut command = Command::new(workspace_binary(name)?);
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| variable.to_string_lossy().starts_with("CFX_"))
        {
            command.env_remove(variable);
        }
        command.args(arguments).envs(environment);
        Self::spawn_command(name, command)
    }

    /// Starts any command under the name `name`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_command(name: &str, mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let output = Arc::default();
        if let Some(stdout) = process.stdout.take() {
            collect(stdout, Arc::clone(&output));
        }
        if let Some(stderr) = process.stderr.take() {
            collect(stderr, Arc::clone(&output));
        }
        Ok(Self { name: name.to_owned(), process, output })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All that it has written to stdout and stderr up to now.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// SIGTERM: a service drains and ends.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal("TERM")
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// SIGSTOP: it keeps its memory and connections and does nothing, like a machine that hangs.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal("STOP")?;
        // The signal is on its way when `kill` returns; each thread stops when it is next scheduled.
        for _ in 0..1000 {
            if self.is_frozen() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        anyhow::bail!("{} does not stop within 2 s", self.name)
    }

    /// Whether every thread is stopped (state `T` in proc(5)).
    fn is_frozen(&self) -> bool {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else {
            return false;
        };
        tasks.flatten().all(|task| {
            // A thread that has ended meanwhile does nothing either.
            std::fs::read_to_string(task.path().join("stat"))
                .map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
        })
    }

    /// SIGCONT: goes on after [`Child::freeze`].
    ///
    /// # Errors
    /// When it has ended already.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal("CONT")
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it still runs after `timeout`.
    pub async fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let what = format!("{} has ended", self.name);
        let process = &mut self.process;
        wait_until(&what, timeout, || std::future::ready(process.try_wait().ok().flatten())).await
    }

    fn signal(&mut self, signal: &str) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} has ended ({status}) and takes no SIG{signal}; it wrote:\n{}", self.name, self.output());
        }
        // Safe from hitting a stranger: a child that has not been waited for keeps its pid.
        let status = Command::new("kill")
            .arg("-s")
            .arg(signal)
            .arg(self.pid().to_string())
            .status()
            .context("`kill` cannot be run")?;
        if !status.success() {
            bail!("SIG{signal} to {} failed ({status})", self.name);
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Errors mean that it has ended already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {} (pid {}) wrote:\n{}--- end of {}", self.name, self.pid(), self.output(), self.name);
        }
    }
}

/// Reads on a thread until the process closes the pipe, so that it never blocks on a full one.
fn collect(pipe: impl Read + Send + 'static, output: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            output.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}
