//! `cfx keys list|export`: what verifies an installation's signatures.

use super::Context;
use crate::verify::trust::bundle_of;
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use wire::http::v1::Keys;

pub async fn list(at: &Context) -> Result<u8> {
    let keys: Keys = at.client.get("/v1/keys").await?;
    if at.json {
        output::json(&keys)?;
        return Ok(exit::OK);
    }
    let rows = keys.keys.iter().map(|key| {
        let state = match (key.in_use, key.retired_at) {
            (true, _) => "signs".to_owned(),
            (false, Some(at)) => format!("retired {at}"),
            (false, None) => "known".to_owned(),
        };
        vec![key.key_id.to_string(), state, key.subject.clone()]
    });
    output::table(&["KEY", "STATE", "SUBJECT"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}

/// Writes the anchors for `cfx verify --anchors` and other verifiers.
pub async fn export(at: &Context, to: &Path) -> Result<u8> {
    let keys: Keys = at.client.get("/v1/keys").await?;
    let bundle = bundle_of(&keys);
    if bundle.is_empty() {
        bail!(
            "the server's keys come from a certificate authority of its owner's; ask the owner for its root certificate"
        );
    }
    std::fs::write(to, &bundle).with_context(|| format!("{} cannot be written", to.display()))?;
    if at.json {
        output::json(&serde_json::json!({ "anchors": to }))?;
    } else {
        output::line(format!("trust anchors in {}; verify with: cfx verify --anchors {0} FILE", to.display()));
    }
    Ok(exit::OK)
}
