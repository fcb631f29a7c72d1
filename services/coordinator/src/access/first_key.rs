//! The first key: an installation without any gets one for its administrator, in a file that only its owner may read.
//!
//! The file comes first and the row second, and a file that is there is used as it is. So a crash between the two is mended by the
//! next start; a database that was lost and rebuilt takes the administrator's key again; two coordinators that share the file agree;
//! and whoever deploys may put a key of their own there (its form: `cfx_`, 32 hexadecimal digits, `_`, 64 more, lower case).

use crate::access::issue;
use anyhow::{Context as _, Result, bail};
use domain::{ApiKeyToken, Scope};
use serde_json::json;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use store::{Deed, NewApiKey, Store};

/// Sees to it that there is a key. True if one was made now.
///
/// # Errors
/// When the file cannot be read or written or holds something else, or the database fails.
pub async fn ensure(store: &Store, file: &Path) -> Result<bool> {
    if store.has_api_keys().await? {
        return Ok(false);
    }
    let token = kept(file)?;
    let new = NewApiKey {
        id: token.id(),
        name: "admin".to_owned(),
        scope: Scope::Admin,
        project: None,
        secret_sha256: token.secret_sha256(),
        created_by: "first start".to_owned(),
        expires_at: None,
    };
    let made = store.create_first_api_key(&new).await?;
    if made {
        let (subject, detail) = (new.id.to_string(), json!({ "name": new.name, "scope": new.scope }));
        let deed = Deed {
            actor: &new.created_by,
            said: None,
            project: None,
            action: "api_key.create",
            subject: &subject,
            detail: &detail,
        };
        store.audit(deed).await?;
    }
    Ok(made)
}

/// The key in the file, which is written if it is not there.
fn kept(file: &Path) -> Result<ApiKeyToken> {
    if let Some(token) = read(file)? {
        return Ok(token);
    }
    let token = issue::new_key()?;
    match write_private(file, &format!("{}\n", token.reveal())) {
        Ok(()) => Ok(token),
        // another coordinator was faster
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(file)?.with_context(|| format!("{} was removed a moment ago", file.display()))
        }
        Err(error) => {
            Err(error).with_context(|| format!("the administrator's key cannot be written to {}", file.display()))
        }
    }
}

fn read(file: &Path) -> Result<Option<ApiKeyToken>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
    };
    let mode = std::fs::metadata(file).map(|facts| facts.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(file = %file.display(), "others may read the administrator's key; chmod 600 it");
    }
    match text.trim().parse() {
        Ok(token) => Ok(Some(token)),
        Err(_) => bail!(
            "{} holds something that is not an API key; name another file with CFX_ADMIN_KEY_FILE",
            file.display()
        ),
    }
}

/// Writes a file that is not there yet, whole or not at all, for its owner's eyes only.
fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let part = folder.join(format!(".{}.part", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        // unlike a rename, a link never takes the place of what is there
        std::fs::hard_link(&part, file)
    })();
    let removed = std::fs::remove_file(&part);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_written_once_for_its_owner_alone_and_used_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("state/admin.key");
        let first = kept(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(kept(&file).unwrap(), first);
        assert_eq!(write_private(&file, "other").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no part is left");
        std::fs::write(&file, "hunter2").unwrap();
        assert!(kept(&file).unwrap_err().to_string().contains("CFX_ADMIN_KEY_FILE"));
    }
}
