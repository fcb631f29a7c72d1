//! The job that a picture asks for: its recipe, for other images.

use crate::args::UsageError;
use crate::commands::Context;
use anyhow::{Context as _, Result, bail};
use credentials::{Told, read_told};
use domain::Frame;
use domain::record::Recipe;
use serde_json::{Map, Value, json};
use std::path::Path;
use wire::http::v1::{Pack, Page};

/// The fields of a job that makes what `file` shows of other sources: its edit with the mapper that was used, strength, seed,
/// inversion, frame and precision, on the very pack.
///
/// # Errors
/// When the file says too little, or the server does not have its pack or numerics.
pub async fn fields(at: &Context, file: &Path, pack_given: bool) -> Result<Map<String, Value>> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let told = read_told(&bytes).with_context(|| file.display().to_string())?;
    let recipe: Recipe = match told {
        Told::Record { record, .. } => record.recipe,
        Told::Excerpt(excerpt) => match excerpt.recipe {
            Some(recipe) => recipe,
            None => bail!(
                "{} carries no recipe, only the digest of its record ({}); take a picture written with detail 'standard' or 'full'",
                file.display(),
                excerpt.record_digest
            ),
        },
    };
    let mut edit = recipe.edit;
    if let Some(mapper) = recipe.mapper {
        edit.method = edit.method.with_mapper(mapper);
    }
    let frame = if recipe.source.face.is_some() { Frame::Ffhq } else { Frame::CentreSquare };
    let mut fields = Map::new();
    for (name, value) in [
        ("edits", json!([edit])),
        ("strengths", json!([recipe.strength])),
        ("seeds", json!([recipe.seed])),
        ("inversion", json!(recipe.inversion)),
        ("frame", json!(frame)),
        ("precision", json!(recipe.precision)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    if !pack_given {
        let packs: Page<Pack> = at.client.get("/v1/packs?limit=500").await?;
        let Some(pack) = packs.items.iter().find(|pack| pack.digest == recipe.pack) else {
            bail!(UsageError(format!(
                "the server has no pack of digest {}, which {} was made with; add it with `cfx pack add`, or name another with --pack",
                recipe.pack,
                file.display()
            )));
        };
        fields.insert("pack".to_owned(), json!(pack.name));
    }
    Ok(fields)
}
