//! The installation's own certificates, made by the script that its users have (`deploy/tls/certificates.sh`).

use crate::host::{Host, quiet};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::workspace_root;

/// A folder with an authority.
#[derive(Clone, Debug)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes it.
    ///
    /// # Errors
    /// When openssl is not installed.
    pub fn create(folder: &Path) -> Result<Self> {
        let made = Self { folder: folder.to_owned() };
        quiet(Command::new(script()).arg(folder))?;
        Ok(made)
    }

    /// What everybody trusts.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A new certificate for a server on a host; the files of it and of its key.
    ///
    /// # Errors
    /// When openssl refuses.
    pub fn issue(&self, name: &str, host: &Host) -> Result<(PathBuf, PathBuf)> {
        quiet(Command::new(script()).arg(&self.folder).arg(name).arg(format!("IP:{}", host.address)))?;
        Ok((self.folder.join(format!("{name}.crt")), self.folder.join(format!("{name}.key"))))
    }
}

fn script() -> PathBuf {
    workspace_root().join("deploy/tls/certificates.sh")
}
