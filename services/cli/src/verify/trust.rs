//! Whom to trust: the root certificates given by hand, or else those that the server names as its own.

use crate::args::VerifyArgs;
use crate::commands::Context;
use anyhow::{Context as _, Result};
use credentials::Anchors;
use wire::http::v1::Keys;

/// The anchors; none if there are none at hand.
///
/// # Errors
/// When a given file cannot be read.
pub async fn anchors(at: &Context, args: &VerifyArgs) -> Result<Anchors> {
    let mut bundle = String::new();
    for path in &args.anchors {
        bundle += &std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        bundle.push('\n');
    }
    if !args.anchors.is_empty() {
        return Anchors::read(&bundle).context("--anchors");
    }
    if args.offline {
        return Ok(Anchors::default());
    }
    // What is proven offline must not fail because a server is away.
    let Ok(keys) = at.client.get::<Keys>("/v1/keys").await else { return Ok(Anchors::default()) };
    Ok(Anchors::read(&bundle_of(&keys)).unwrap_or_default())
}

/// The distinct anchors of an installation.
pub fn bundle_of(keys: &Keys) -> String {
    let mut anchors: Vec<&str> = keys.keys.iter().filter_map(|key| key.anchor.as_deref()).collect();
    anchors.sort_unstable();
    anchors.dedup();
    anchors.concat()
}
