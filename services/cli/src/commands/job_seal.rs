//! `cfx job seal`: what a job came to, signed; with `--to`, as files that `cfx verify` and other programs read.

use super::Context;
use crate::verify::seals::{self, ATTESTATION, FOLDER};
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use wire::http::v1::{JobSeal, JobSeals};

pub async fn run(at: &Context, job: &str, to: Option<&Path>) -> Result<u8> {
    let seals: JobSeals = at.client.get(&format!("/v1/jobs/{job}/seals")).await?;
    let Some(seal) = seals.seals.first() else {
        bail!("job {job} has no seal yet: a job is sealed within seconds of its end");
    };
    if let Some(folder) = to {
        write(at, seal, folder).await?;
    }
    if at.json {
        output::json(&seals)?;
    } else {
        output::line(format!("sealed {} by key {}", seal.sealed_at, seal.key_id));
        output::line(format!("{} results, {} failures", seal.results, seal.failures));
        for file in &seal.files {
            output::line(format!("  {}  {}  {} bytes", file.sha256, file.name, file.bytes));
        }
        output::line(format!("  {}  {ATTESTATION}", seal.attestation));
    }
    Ok(exit::OK)
}

/// Writes a seal's files, the attestation last.
pub async fn write(at: &Context, seal: &JobSeal, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be created", folder.display()))?;
    for (name, bytes) in seals::files(&at.client, seal).await? {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    output::note(format!(
        "the seal is in {}; `cfx verify` finds it in a folder '{FOLDER}' beside the images",
        folder.display()
    ));
    Ok(())
}
