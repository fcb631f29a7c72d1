//! Fills the digests of a `pack.toml` in: the last step of making a pack.

use crate::error::PackError;
use crate::manifest::Manifest;
use crate::pack::{MANIFEST, Pack, read_manifest};
use crate::weights::file_digest;
use std::path::Path;
use toml_edit::{DocumentMut, Item, TableLike, Value};

/// Hashes every file that `dir/pack.toml` names and writes the digests into it. A draft may leave `sha256` out; comments and
/// layout stay as they are. The file is replaced whole, and only when the result is a sound pack.
///
/// # Errors
/// As [`Pack::open`], and when a file cannot be read or the manifest cannot be written.
pub fn seal(dir: &Path) -> Result<Pack, PackError> {
    let mut document: DocumentMut = read_manifest(dir)?.parse().map_err(|e| PackError::Edit(Box::new(e)))?;
    fill(document.as_table_mut(), dir, "")?;
    let text = document.to_string();
    Manifest::from_toml(&text)?;
    let path = dir.join(MANIFEST);
    let fresh = dir.join(".pack.toml.new");
    std::fs::write(&fresh, &text).map_err(PackError::io(&fresh))?;
    std::fs::rename(&fresh, &path).map_err(PackError::io(&path))?;
    Pack::open(dir)
}

/// Sets `sha256` in every table that names a `file`.
fn fill(table: &mut dyn TableLike, dir: &Path, key: &str) -> Result<(), PackError> {
    if let Some(file) = table.get("file").and_then(Item::as_str).map(str::to_owned) {
        crate::manifest::plain_path(&format!("{key}.file"), &file)?;
        let path = dir.join(&file);
        let digest = file_digest(&path).map_err(PackError::io(&path))?.to_string();
        match table.get_mut("sha256").and_then(Item::as_value_mut) {
            // Keeps a comment at the end of the line.
            Some(value) if !value.is_inline_table() => {
                let decor = value.decor().clone();
                *value = Value::from(digest);
                *value.decor_mut() = decor;
            }
            _ => {
                table.insert("sha256", toml_edit::value(digest));
            }
        }
    }
    for (name, item) in table.iter_mut() {
        let name = if key.is_empty() { name.get().to_owned() } else { format!("{key}.{}", name.get()) };
        if let Some(inner) = item.as_table_like_mut() {
            fill(inner, dir, &name)?;
        }
    }
    Ok(())
}
