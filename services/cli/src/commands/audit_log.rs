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
        vec![at, entry.actor, entry.action, entry.subject, entry.detail.to_string()]
    });
    output::table(&["AT", "WHO", "WHAT", "TO", "DETAIL"], &rows.collect::<Vec<_>>());
    Ok(exit::OK)
}
