//! `cfx key create|list|rotate|revoke`: API keys, for administrators.

use super::Context;
use crate::args::{KeyCommand, KeyCreateArgs};
use crate::profile::write_private;
use crate::{exit, output};
use anyhow::Result;
use domain::ApiKeyId;
use std::path::Path;
use wire::http::v1::{ApiKey, CreatedApiKey, NewApiKey, RotateApiKey};

pub async fn run(at: &Context, command: KeyCommand) -> Result<u8> {
    match command {
        KeyCommand::Create(args) => create(at, &args).await,
        KeyCommand::List { limit } => list(at, limit).await,
        KeyCommand::Rotate { id, overlap_hours, to } => rotate(at, id, overlap_hours, to.as_deref()).await,
        KeyCommand::Revoke { id } => revoke(at, id).await,
    }
}

async fn create(at: &Context, args: &KeyCreateArgs) -> Result<u8> {
    let project = args.for_project.clone().or_else(|| at.connection.project.clone());
    let project = project.filter(|_| !args.all_projects);
    let new = NewApiKey { name: args.name.clone(), scope: args.scope, project, expires_in_days: args.days };
    let created: CreatedApiKey = at.client.post("/v1/api-keys", &new).await?;
    told(at, &created, args.to.as_deref())
}

async fn rotate(at: &Context, id: ApiKeyId, overlap_hours: u64, to: Option<&Path>) -> Result<u8> {
    let asked = RotateApiKey { overlap_seconds: overlap_hours * 3600 };
    let created: CreatedApiKey = at.client.post(&format!("/v1/api-keys/{id}/rotate"), &asked).await?;
    told(at, &created, to)
}

/// Prints a key's text, or puts it into a file and prints all but it.
fn told(at: &Context, created: &CreatedApiKey, to: Option<&Path>) -> Result<u8> {
    let CreatedApiKey { key, token } = created;
    let place =
        key.project.as_deref().map_or_else(|| "all projects".to_owned(), |name| format!("the project '{name}'"));
    let what = format!("{} ({}) allows {} in {place}", key.name, key.id, key.scope);
    match to {
        Some(file) => {
            write_private(file, &format!("{token}\n"))?;
            if at.json {
                output::json(key)?
            } else {
                output::line(format!("{what}; its text is in {}", file.display()))
            }
        }
        None if at.json => output::json(created)?,
        None => {
            output::note(format!("{what}; this is the only time that its text is shown:"));
            output::line(token);
        }
    }
    Ok(exit::OK)
}

async fn list(at: &Context, limit: u64) -> Result<u8> {
    let keys: Vec<ApiKey> = at.client.all("/v1/api-keys", limit).await?;
    if at.json {
        output::json(&keys)?;
        return Ok(exit::OK);
    }
    let day =
        |time: Option<chrono::DateTime<chrono::Utc>>| time.map_or("-".to_owned(), |t| t.format("%F %R").to_string());
    let rows = keys.into_iter().map(|key| {
        let project = key.project.unwrap_or_else(|| "all".to_owned());
        let (expires, used) = (day(key.expires_at), day(key.last_used_at));
        vec![key.id.to_string(), key.name, key.scope.to_string(), project, key.state, expires, used, key.created_by]
    });
    let headings = ["KEY", "NAME", "SCOPE", "PROJECT", "STATE", "EXPIRES", "LAST USED", "MADE BY"];
    output::table(&headings, &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}

async fn revoke(at: &Context, id: ApiKeyId) -> Result<u8> {
    let key: ApiKey = at.client.delete(&format!("/v1/api-keys/{id}")).await?;
    if at.json {
        output::json(&key)?;
    } else {
        output::line(format!("{} ({}) is revoked", key.name, key.id));
    }
    Ok(exit::OK)
}
