//! `cfx mapper import|add`: mappers that others trained.

use super::Context;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use domain::Digest;
use packs::Pack;
use packs::import::{MapperRequest, import_mapper};
use serde_json::json;
use std::path::Path;

/// Writes a released mapper's file for a pack. Needs no server.
pub fn import(at: &Context, request: &MapperRequest, pack: &Path, out: &Path) -> Result<u8> {
    let imported = import_mapper(request, &Pack::open(pack)?, out)?;
    let note = &imported.note;
    if at.json {
        output::json(&json!({ "file": out, "sha256": imported.sha256, "method": imported.method, "note": note }))?;
        return Ok(exit::OK);
    }
    let told = note.text.as_deref().map_or_else(String::new, |text| format!(", trained for \"{text}\""));
    output::line(format!("{} {}", out.display(), imported.sha256));
    output::note(format!(
        "{} latents{told}; use it with --method {} --preset repro-2022",
        note.n_latent, imported.method
    ));
    Ok(exit::OK)
}

/// Uploads a mapper's file, so that edits can name it by its digest.
pub async fn add(at: &Context, file: &Path) -> Result<u8> {
    let facts = packs::weights::inspect(file).with_context(|| format!("cannot read {}", file.display()))?;
    if let Err(error) = facts.tensors {
        anyhow::bail!("{} {error}", file.display());
    }
    let digest: Digest = facts.sha256;
    if !at.client.has_blob(digest).await? {
        at.client.put_blob_file(digest, file).await.with_context(|| format!("uploading {}", file.display()))?;
    }
    if at.json {
        output::json(&json!({ "sha256": digest }))?;
    } else {
        output::line(digest.to_string());
    }
    Ok(exit::OK)
}
