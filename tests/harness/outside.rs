//! Scripts that look at a cluster from outside, with programs that have to be fetched.

use anyhow::{Context as _, Result, ensure};
use std::process::{Command, Stdio};
use testkit::workspace_root;

/// What a script ends with where its programs cannot be had: a convention of test runners for "skipped".
const SKIPPED: i32 = 77;

/// Runs a script of `tests/`. False where it could say nothing, because what it needs cannot be had here; with the variable `must` set
/// that is a failure too.
///
/// # Errors
/// When the script cannot be run, or finds a fault: it has printed which.
pub async fn looked_at_by(script: &str, must: &str, variables: Vec<(String, String)>) -> Result<bool> {
    let mut command = Command::new(workspace_root().join(script));
    command.stdin(Stdio::null()).envs(variables);
    let status = tokio::task::spawn_blocking(move || command.status()).await?;
    let status = status.with_context(|| format!("{script} cannot be run"))?;
    if status.code() == Some(SKIPPED) && std::env::var_os(must).is_none() {
        eprintln!("skipped: what {script} needs cannot be had here, so it says nothing");
        return Ok(false);
    }
    ensure!(status.success(), "{script} found faults; they are above");
    Ok(true)
}
