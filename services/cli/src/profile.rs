//! Which coordinator, which project, which key: flags and the environment, then a profile of the configuration file, then the defaults.
//!
//! ```toml
//! profile = "lab"                # the one without --profile
//! [profiles.lab]
//! server = "https://cfx.example.org"
//! project = "faces"
//! key_file = "lab.key"           # beside this file; only its owner may read it
//! ```
//!
//! A profile's key goes to the profile's server and to no other: `--server` together with a profile sends none.

use anyhow::{Context as _, Result, bail};
use domain::ApiKeyToken;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where a coordinator of this machine listens.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// The configuration file.
#[derive(Deserialize, Debug, Default)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// The profile without --profile.
    pub profile: Option<String>,
    /// Profiles by name.
    pub profiles: BTreeMap<String, Profile>,
}

/// One cluster.
#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Address of the coordinator.
    pub server: Option<String>,
    /// Project to act for.
    pub project: Option<String>,
    /// File with the key, relative to the configuration file.
    pub key_file: Option<PathBuf>,
}

/// What was given by flags and the environment.
#[derive(Debug, Default)]
pub struct Given {
    /// `--config`, `CFX_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--profile`, `CFX_PROFILE`.
    pub profile: Option<String>,
    /// `--server`, `CFX_SERVER`.
    pub server: Option<String>,
    /// `--project`, `CFX_PROJECT`.
    pub project: Option<String>,
    /// `CFX_API_KEY`.
    pub key: Option<String>,
    /// `CFX_API_KEY_FILE`.
    pub key_file: Option<PathBuf>,
}

/// What a call uses.
#[derive(Debug)]
pub struct Connection {
    /// The configuration file, whether it is there or not.
    pub config: PathBuf,
    /// The profile in use.
    pub profile: Option<String>,
    /// Address of the coordinator.
    pub server: String,
    /// Project to act for; the key's own if absent.
    pub project: Option<String>,
    /// The key, and where it came from.
    pub key: Option<(Secret, String)>,
    /// The file's profiles.
    pub profiles: BTreeMap<String, Profile>,
}

/// A key or token. Prints hidden.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// What somebody typed or piped in.
    ///
    /// # Errors
    /// When it cannot be a key: it is empty, or more than one word.
    pub fn entered(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            bail!("that is no key; a key looks like cfx_<id>_<secret>");
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, to be sent.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be shown: a key's id.
    pub fn hidden(&self) -> String {
        self.0.parse::<ApiKeyToken>().map_or_else(|_| "a token ***".to_owned(), |token| format!("{token:?}"))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hidden())
    }
}

/// The configuration file's place by the XDG base directories.
pub fn default_config() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = given("XDG_CONFIG_HOME").or_else(|| given("HOME").map(|home| home.join(".config")));
    folder.unwrap_or_default().join("counterfactory/cfx.toml")
}

/// Reads the file; an absent one is empty, unless it was named.
pub fn read(path: &Path, named: bool) -> Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound && !named => Ok(File::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Puts everything together.
///
/// # Errors
/// When a file cannot be read, or a profile is asked for that is not there.
pub fn resolve(given: Given) -> Result<Connection> {
    let config = given.config.clone().unwrap_or_else(default_config);
    let file = read(&config, given.config.is_some())?;
    let name = given.profile.or(file.profile);
    let profile = match &name {
        None => Profile::default(),
        Some(name) => match file.profiles.get(name) {
            Some(profile) => profile.clone(),
            None => bail!(crate::args::UsageError(format!(
                "{} has no profile '{name}'; `cfx login --profile {name} --server ADDRESS` makes it",
                config.display()
            ))),
        },
    };
    let tidy = |address: &str| address.trim_end_matches('/').to_owned();
    let own_server = profile.server.as_deref().map_or_else(|| DEFAULT_SERVER.to_owned(), tidy);
    let server = given.server.as_deref().map_or_else(|| own_server.clone(), tidy);
    let from = |path: &Path| read_key(path).map(|key| (key, path.display().to_string()));
    let key = match (given.key, given.key_file, profile.key_file) {
        (Some(key), ..) => {
            Some((Secret::entered(&key).context("CFX_API_KEY cannot be used")?, "CFX_API_KEY".to_owned()))
        }
        (None, Some(path), _) => Some(from(&path)?),
        (None, None, Some(path)) if server == own_server => Some(from(&beside(&config, &path))?),
        _ => None,
    };
    Ok(Connection {
        config,
        profile: name,
        server,
        project: given.project.or(profile.project),
        key,
        profiles: file.profiles,
    })
}

/// The same for a login, which makes its file and its profile, and asks for the key.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn to_log_in(given: Given) -> Result<Connection> {
    let config = given.config.unwrap_or_else(default_config);
    let file = read(&config, false)?;
    let profile = given.profile.or(file.profile);
    let known = profile.as_ref().and_then(|name| file.profiles.get(name)).cloned().unwrap_or_default();
    let server = given.server.or(known.server).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
    let server = server.trim_end_matches('/').to_owned();
    Ok(Connection {
        config,
        profile,
        server,
        project: given.project.or(known.project),
        key: None,
        profiles: file.profiles,
    })
}

/// A path of the configuration, which is relative to it.
pub fn beside(config: &Path, path: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

fn read_key(path: &Path) -> Result<Secret> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("the key file {} cannot be read", path.display()))?;
    Secret::entered(&text).with_context(|| format!("the key file {} cannot be used", path.display()))
}

/// Writes a file for its owner's eyes only, in the place of one that is there.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || format!("{} cannot be written", path.display());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(failed)?;
    // beside it and then renamed: a reader finds the old text or the new one, and another's permissions are not inherited
    let part = folder.join(format!(".{}.part", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    })();
    if written.is_err() {
        // what was written of it is of no use; that it stays is the lesser trouble
        let _ = std::fs::remove_file(&part);
    }
    written.with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::TempDir::new().unwrap();
        let text = "profile = \"lab\"\n[profiles.lab]\nserver = \"https://lab/\"\nproject = \"faces\"\nkey_file = \"lab.key\"\n";
        std::fs::write(folder.path().join("cfx.toml"), text).unwrap();
        write_private(&folder.path().join("lab.key"), "cfx_lab\n").unwrap();
        folder
    }

    fn with(folder: &tempfile::TempDir, given: Given) -> Connection {
        resolve(Given { config: Some(folder.path().join("cfx.toml")), ..given }).unwrap()
    }

    fn key(connection: &Connection) -> Option<&str> {
        connection.key.as_ref().map(|(key, _)| key.reveal())
    }

    #[test]
    fn flags_win_over_the_profile_and_its_key_goes_to_no_other_server() {
        let folder = folder();
        let lab = with(&folder, Given::default());
        assert_eq!(
            (lab.server.as_str(), lab.project.as_deref(), key(&lab)),
            ("https://lab", Some("faces"), Some("cfx_lab"))
        );
        let same = with(&folder, Given { server: Some("https://lab".into()), ..Given::default() });
        assert_eq!(key(&same), Some("cfx_lab"));
        let other = with(
            &folder,
            Given { server: Some("https://other".into()), project: Some("x".into()), ..Given::default() },
        );
        assert_eq!((other.server.as_str(), other.project.as_deref(), key(&other)), ("https://other", Some("x"), None));
        let given = with(&folder, Given { key: Some(" cfx_env\n".into()), ..Given::default() });
        assert_eq!(key(&given), Some("cfx_env"));
        assert!(!format!("{lab:?}").contains("cfx_lab"), "secrets are hidden");
    }

    #[test]
    fn a_profile_that_is_not_there_is_an_error_and_a_file_that_is_not_there_is_none() {
        let folder = folder();
        let config = folder.path().join("cfx.toml");
        let missing = resolve(Given { config: Some(config), profile: Some("prod".into()), ..Given::default() });
        assert!(missing.unwrap_err().to_string().contains("cfx login --profile prod"));
        assert!(
            resolve(Given { config: Some(folder.path().join("none")), ..Given::default() }).is_err(),
            "it was named"
        );
        assert!(read(&folder.path().join("none"), false).unwrap().profiles.is_empty());
    }

    #[test]
    fn a_private_file_is_its_owners_even_in_the_place_of_an_open_one() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("deep/key");
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
