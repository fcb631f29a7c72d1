//! `cfx audit-log`.

use super::Context;
use crate::{exit, output};
use anyhow::Result;
use wire::http::v1::AuditEntry;

pub async fn run(at: &Context, limit: u64) -> Result<u8> {
    let entries: Vec<AuditEntry> = at.client.all("/v1/audit", limit).await?;
    if at.json {
        output::json(&entries)?;
        return Ok(exit::OK);
    }
    let rows = entries.into_iter().map(|entry| {
        let at = entry.at.format("%F %T").to_string();
        let who = match entry.said {
            Some(said) => format!("{} (says {said})", entry.actor),
            None => entry.actor,
        };
        let project = entry.project.unwrap_or_else(|| "-".to_owned());
        vec![at, who, project, entry.action, entry.subject, entry.detail.to_string()]
    });
    output::table(&["AT", "WHO", "PROJECT", "WHAT", "TO", "DETAIL"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}
