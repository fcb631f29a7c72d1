//! `cfx inspect FILE`: the record inside a picture, as JSON. Needs no server.

use crate::{exit, output};
use anyhow::{Context as _, Result};
use std::path::Path;

pub fn run(file: &Path) -> Result<u8> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (record, _) = credentials::extract_record(&bytes).with_context(|| file.display().to_string())?;
    output::json(&record)?;
    Ok(exit::OK)
}
