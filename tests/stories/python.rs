//! The Python package against a live cluster: formats, types, generated code, its tests, and the example notebook from its first cell to
//! its last. `make python` runs this alone; what is looked at is in `tests/python`.

use anyhow::{Context as _, Result, ensure};
use std::process::{Command, Stdio};
use stories::Cluster;
use testkit::{workspace_binary, workspace_root};

/// What `tests/python/check.sh` ends with where Python, or packages for it, cannot be had.
const NO_PACKAGES: i32 = 77;

#[tokio::test(flavor = "multi_thread")]
async fn the_package_does_what_it_says() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let mut check = Command::new(workspace_root().join("tests/python/check.sh"));
    check.env("CFX_SERVER", format!("http://{}", cluster.server())).env("CFX_CLI", workspace_binary("cfx")?);
    check.stdin(Stdio::null());
    let status = tokio::task::spawn_blocking(move || check.status()).await?;
    let status = status.context("tests/python/check.sh cannot be run")?;
    if status.code() == Some(NO_PACKAGES) && std::env::var_os("CFX_PYTHON_MUST").is_none() {
        eprintln!("skipped: Python packages cannot be had here, so nothing is said of the Python package");
        return Ok(());
    }
    ensure!(status.success(), "the Python package has faults; they are above");
    Ok(())
}
