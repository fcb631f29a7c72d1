//! The key of a machine that edits on its own: given, or made once and kept in the user's data folder.

use super::EditArgs;
use anyhow::{Context as _, Result};
use chrono::Utc;
use credentials::{Authority, Issuer, LocalKey};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CERTIFICATES: &str = "signer.pem";
const KEY: &str = "signer.key";
/// What others are given to verify with.
const ANCHOR: &str = "anchor.pem";

/// Who signs; nobody if that is asked for.
pub fn issuer(args: &EditArgs) -> Result<Option<Issuer>> {
    if args.unsigned {
        return Ok(None);
    }
    let signer = match args.key.signer()? {
        Some(signer) => signer,
        None => Arc::new(kept(&args.keys_dir.clone().unwrap_or_else(folder))?),
    };
    Ok(Some(Issuer::new(signer)?))
}

fn folder() -> PathBuf {
    let folder = |name: &str, below: &str| Some(PathBuf::from(std::env::var_os(name)?).join(below));
    let data = folder("XDG_DATA_HOME", "").or_else(|| folder("HOME", ".local/share"));
    data.unwrap_or_else(std::env::temp_dir).join("counterfactory/keys")
}

fn kept(folder: &Path) -> Result<LocalKey> {
    if !folder.join(CERTIFICATES).exists() {
        make(folder).with_context(|| format!("no signing key can be made in {}", folder.display()))?;
    }
    let read =
        |name| std::fs::read_to_string(folder.join(name)).with_context(|| folder.join(name).display().to_string());
    LocalKey::new(&read(KEY)?, &read(CERTIFICATES)?).with_context(|| format!("the signing key in {}", folder.display()))
}

/// The authority's own key is not kept: this machine needs no second signer.
fn make(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let authority = Authority::create(Utc::now())?;
    let issued = authority.issue(Utc::now())?;
    // Certificates last: they say that the rest is there.
    for (name, text, mode) in
        [(KEY, &issued.private_key, 0o600), (ANCHOR, &authority.anchor, 0o644), (CERTIFICATES, &issued.chain, 0o644)]
    {
        let part = folder.join(format!("{name}.{}.part", std::process::id()));
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(part, folder.join(name))?;
    }
    tracing::info!(anchor = %folder.join(ANCHOR).display(), "a signing key was made; verifiers trust it by this anchor");
    Ok(())
}
