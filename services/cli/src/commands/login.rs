//! `cfx login`: tries a key and keeps it, in a file that only its owner may read, under a profile.

use super::{Context, whoami};
use crate::client::Client;
use crate::profile::{Secret, beside, write_private};
use crate::{exit, output};
use anyhow::{Context as _, Result, bail};
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, value};
use wire::http::v1::WhoAmI;

pub async fn run(at: &Context) -> Result<u8> {
    let connection = &at.connection;
    let name = connection.profile.clone().unwrap_or_else(|| "default".to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        bail!(crate::args::UsageError(format!("'{name}' is no name for a profile: letters, digits, '.', '-' and '_'")));
    }
    let key = asked_for(&connection.server)?;
    let client = Client::new(&connection.server, connection.project.as_deref(), None, Some(&key))?;
    let who: WhoAmI = client.get("/v1/whoami").await?;
    let key_file = PathBuf::from(format!("{name}.key"));
    write_private(&beside(&connection.config, &key_file), &format!("{}\n", key.reveal()))?;
    note(&connection.config, &name, &connection.server, connection.project.as_deref(), &key_file)?;
    if at.json {
        output::json(&who)?;
    } else {
        output::line(whoami::sentence(&who));
        output::note(format!("profile '{name}' in {}", connection.config.display()));
    }
    Ok(exit::OK)
}

/// The key from a terminal, unseen, or from a pipe. Never from an argument, where every program of the machine reads it.
fn asked_for(server: &str) -> Result<Secret> {
    let text = if std::io::stdin().is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str(&format!("API key for {server}: ")).context("the terminal cannot be written to")?;
        terminal.read_secure_line().context("the key cannot be read from the terminal")?
    } else {
        let mut text = String::new();
        // a key is short; whatever else is piped in is not read to its end
        std::io::stdin().take(64 << 10).read_to_string(&mut text).context("the key cannot be read from stdin")?;
        text
    };
    Secret::entered(&text)
}

/// Writes the profile, and leaves everything else in the file as it is, comments too.
fn note(config: &Path, name: &str, server: &str, project: Option<&str>, key_file: &Path) -> Result<()> {
    let text = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", config.display())),
    };
    write_private(config, &edited(&text, name, server, project, key_file)?)
}

fn edited(text: &str, name: &str, server: &str, project: Option<&str>, key_file: &Path) -> Result<String> {
    let mut file: DocumentMut = text.parse().context("the configuration is not valid TOML")?;
    if file.get("profile").is_none() {
        file["profile"] = value(name);
    }
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let profiles = file.entry("profiles").or_insert_with(implicit).as_table_mut();
    let profiles = profiles.context("`profiles` in the configuration is not a table")?;
    let profile = profiles.entry(name).or_insert_with(toml_edit::table).as_table_like_mut();
    let profile = profile.context("the profile in the configuration is not a table")?;
    profile.insert("server", value(server));
    if let Some(project) = project {
        profile.insert("project", value(project));
    }
    profile.insert("key_file", value(key_file.to_string_lossy().into_owned()));
    Ok(file.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::File;

    #[test]
    fn a_login_adds_its_profile_and_leaves_the_rest() {
        let first = edited("", "lab", "https://lab", Some("faces"), Path::new("lab.key")).unwrap();
        let file: File = toml::from_str(&first).unwrap();
        assert_eq!(
            (file.profile.as_deref(), file.profiles["lab"].server.as_deref()),
            (Some("lab"), Some("https://lab"))
        );
        let text = format!("# mine\n{first}");
        let second = edited(&text, "prod", "https://prod", None, Path::new("prod.key")).unwrap();
        let file: File = toml::from_str(&second).unwrap();
        assert!(second.contains("# mine"), "{second}");
        assert_eq!((file.profile.as_deref(), file.profiles.len()), (Some("lab"), 2));
        let again = edited(&second, "lab", "https://new", None, Path::new("lab.key")).unwrap();
        let file: File = toml::from_str(&again).unwrap();
        assert_eq!(file.profiles["lab"].server.as_deref(), Some("https://new"));
        assert_eq!(file.profiles["lab"].project.as_deref(), Some("faces"), "what was not given stays");
    }
}
