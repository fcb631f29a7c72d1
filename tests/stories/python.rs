//! The Python package against a live cluster: formats, types, generated code, its tests, and the example notebook from its first cell to
//! its last. `make python` runs this alone; what is looked at is in `tests/python`.

use anyhow::{Context as _, Result};
use stories::{Cluster, looked_at_by};
use testkit::workspace_binary;

#[tokio::test(flavor = "multi_thread")]
async fn the_package_does_what_it_says() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    let cfx = workspace_binary("cfx")?.into_os_string().into_string().ok().context("the path of cfx is a text")?;
    let variables = [("CFX_SERVER", format!("http://{}", cluster.server())), ("CFX_CLI", cfx)]
        .map(|(name, value)| (name.to_owned(), value));
    looked_at_by("tests/python/check.sh", "CFX_PYTHON_MUST", variables.into()).await?;
    Ok(())
}
