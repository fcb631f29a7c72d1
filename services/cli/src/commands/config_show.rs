//! `cfx config show`: what a call uses, and where it has it from. Secrets are hidden.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use serde::Serialize;

#[derive(Serialize)]
struct Shown<'a> {
    config: String,
    profile: Option<&'a str>,
    server: &'a str,
    project: Option<&'a str>,
    key: Option<String>,
    key_from: Option<&'a str>,
    profiles: Vec<&'a str>,
}

pub fn run(at: &Context) -> Result<u8> {
    let connection = &at.connection;
    let shown = Shown {
        config: connection.config.display().to_string(),
        profile: connection.profile.as_deref(),
        server: &connection.server,
        project: connection.project.as_deref(),
        key: connection.key.as_ref().map(|(key, _)| key.hidden()),
        key_from: connection.key.as_ref().map(|(_, from)| from.as_str()),
        profiles: connection.profiles.keys().map(String::as_str).collect(),
    };
    if at.json {
        output::json(&shown)?;
        return Ok(exit::OK);
    }
    let none = "-";
    let key = match (&shown.key, shown.key_from) {
        (Some(key), Some(from)) => format!("{key} (from {from})"),
        _ => none.to_owned(),
    };
    let rows = [
        ("config", shown.config.as_str()),
        ("profile", shown.profile.unwrap_or(none)),
        ("server", shown.server),
        ("project", shown.project.unwrap_or("the key's own, or 'default'")),
        ("key", &key),
        ("profiles", &shown.profiles.join(", ")),
    ];
    for (name, value) in rows {
        output::line(format!("{name:<10}{value}"));
    }
    Ok(exit::OK)
}
