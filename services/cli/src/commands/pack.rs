//! `cfx pack add|list|verify`.

use super::Context;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use domain::Digest;
use packs::Pack;
use std::path::Path;
use wire::http::v1::{NewPack, Pack as Registered};

/// Proves the pack, uploads the files that the bucket lacks, registers the manifest.
pub async fn add(at: &Context, folder: &Path) -> Result<u8> {
    let pack = Pack::open(folder)?;
    let report = pack.verify();
    if !report.is_sound() {
        return refuse(at, &report);
    }
    for file in pack.manifest().files() {
        if at.client.has_blob(file.sha256).await? {
            continue;
        }
        let path = pack.path(&file);
        if !at.json {
            output::note(format!("uploading {}", path.display()));
        }
        let bytes = tokio::fs::read(&path).await.with_context(|| format!("{} cannot be read", path.display()))?;
        at.client.put_blob(file.sha256, bytes).await?;
    }
    let manifest = pack.manifest_text().to_owned();
    at.client.put_blob(Digest::of(&manifest), manifest.clone().into_bytes()).await?;
    let registered: Registered = at.client.post("/v1/packs", &NewPack { manifest }).await?;
    if at.json {
        output::json(&registered)?;
    } else {
        output::line(format!("{} {}", registered.name, registered.digest));
    }
    Ok(exit::OK)
}

/// All registered packs.
pub async fn list(at: &Context) -> Result<u8> {
    let packs: Vec<Registered> = at.client.all("/v1/packs", 0).await?;
    if at.json {
        output::json(&packs)?;
        return Ok(exit::OK);
    }
    let rows = packs.iter().map(|p| vec![p.name.clone(), format!("{0}x{0}", p.resolution), p.digest.to_string()]);
    output::table(&["NAME", "SIZE", "DIGEST"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}

/// Everything that can be said about a pack on disk without loading it. Exit code 4 if anything is wrong.
pub fn verify(at: &Context, folder: &Path, write: bool) -> Result<u8> {
    let pack = if write { packs::seal(folder)? } else { Pack::open(folder)? };
    let report = pack.verify();
    if !report.is_sound() {
        return refuse(at, &report);
    }
    if at.json {
        output::json(&report)?;
        return Ok(exit::OK);
    }
    let rows = report.files.iter().map(|file| {
        let parameters = file.weights.as_ref().map_or_else(|| "-".to_owned(), |w| w.parameters.to_string());
        vec![file.role.to_string(), file.file.clone(), file.bytes.to_string(), parameters, file.sha256.to_string()]
    });
    output::table(&["ROLE", "FILE", "BYTES", "PARAMETERS", "SHA-256"], &rows.collect::<Vec<_>>());
    output::line(format!("{} is sound: {}", pack.manifest().name, report.pack));
    Ok(exit::OK)
}

fn refuse(at: &Context, report: &packs::VerifyReport) -> Result<u8> {
    if at.json {
        output::json(report)?;
    } else {
        for problem in &report.problems {
            output::line(format!("FAIL {problem}"));
        }
    }
    Ok(exit::VERIFICATION_FAILED)
}
