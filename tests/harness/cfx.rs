//! `cfx` as its users run it: a process, its exit code, what it printed.

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use std::process::Stdio;

/// What a call of `cfx` gave.
#[derive(Debug)]
pub struct Answer {
    command: String,
    /// Exit code; -1 if it was killed.
    pub code: i32,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl Answer {
    /// The answer again, if the exit code is as expected; else the story ends with everything that was printed.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let Self { command, stdout, stderr, .. } = &self;
        assert_eq!(self.code, code, "{command}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        self
    }

    /// Stdout as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.stdout).with_context(|| format!("{} printed {}", self.command, self.stdout))
    }
}

pub(crate) async fn run<A: AsRef<str>>(server: &str, arguments: impl IntoIterator<Item = A>) -> Result<Answer> {
    run_with(server, &[], arguments).await
}

pub(crate) async fn run_with<A: AsRef<str>>(
    server: &str,
    environment: &[(&str, String)],
    arguments: impl IntoIterator<Item = A>,
) -> Result<Answer> {
    let arguments: Vec<String> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
    let mut command = tokio::process::Command::new(testkit::workspace_binary("cfx")?);
    command.args(&arguments).env("CFX_SERVER", server).stdin(Stdio::null());
    // what whoever runs the tests keeps for their own clusters is none of the story's
    for own in ["CFX_PROJECT", "CFX_PROFILE", "CFX_CONFIG", "CFX_API_KEY", "CFX_API_KEY_FILE"] {
        command.env_remove(own);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.envs(environment.iter().map(|(name, value)| (*name, value)));
    let output = command.kill_on_drop(true).output().await.context("cfx cannot be run")?;
    Ok(Answer {
        command: format!("cfx {}", arguments.join(" ")),
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
