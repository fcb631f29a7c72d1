//! `cfx inspect FILE`: how a picture was made, from the picture alone. Needs no server.

use crate::{exit, output};
use anyhow::{Context as _, Result};
use credentials::{Anchors, Told, read_credential, read_told};
use serde_json::{Value, json};
use std::path::Path;

pub fn run(file: &Path) -> Result<u8> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let told = read_told(&bytes).with_context(|| file.display().to_string())?;
    let digest = told.digest();
    let mut said: Value = match &told {
        Told::Record { record, .. } => serde_json::to_value(record)?,
        Told::Excerpt(excerpt) => serde_json::to_value(excerpt)?,
    };
    said["record_digest"] = json!(digest);
    // A look, not a proof: that is what `verify` is for.
    said["credential"] = match read_credential(&bytes, &Anchors::default()) {
        Ok(credential) => serde_json::to_value(credential)?,
        Err(error) => json!({ "state": "none", "why": format!("{:#}", anyhow::Error::new(error)) }),
    };
    output::json(&said)?;
    Ok(exit::OK)
}
