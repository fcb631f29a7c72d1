//! I12: with no process alive, another database is made from the bucket alone and held against the one that was used.

use super::Found;
use crate::rig::Rig;
use anyhow::{Context as _, Result};
use sqlx::postgres::PgPoolOptions;
use std::collections::BTreeSet;
use std::time::Instant;

/// What a user may have noted down of a result. The image is not compared: where a task was handed out again, the pointer may name
/// the other hand-out's.
const RESULTS: &str =
    "SELECT concat_ws(' ', j.id, r.no, r.edit_no, r.ordinal, r.strength, r.seed, encode(r.key, 'hex'))
    FROM results r JOIN jobs j ON j.seq = r.job_seq";

/// Rebuilds and compares. The processes are dead afterwards.
///
/// # Errors
/// When the harness itself fails.
pub async fn run(rig: &Rig) -> Result<Found> {
    rig.database.query("postgres", "DROP DATABASE IF EXISTS rebuilt").await?;
    rig.database.query("postgres", "CREATE DATABASE rebuilt").await?;
    let url = rig.database.url();
    let url = format!("{}/rebuilt", url.rsplit_once('/').context("the URL names a database")?.0);
    let began = Instant::now();
    let said = rig.rebuild(&url).await?;
    let mut found = Found { recovery_s: Some(began.elapsed().as_secs_f64()), violations: Vec::new() };
    rig.note(said.clone());
    if said.contains("left out") {
        found.violations.push(format!("I12: something could not be rebuilt: {said}"));
    }
    let rebuilt = PgPoolOptions::new().max_connections(1).connect(&url).await?;
    let before: Vec<String> = sqlx::query_scalar(RESULTS).fetch_all(&rig.pool).await?;
    let after: BTreeSet<String> = sqlx::query_scalar(RESULTS).fetch_all(&rebuilt).await?.into_iter().collect();
    rebuilt.close().await;
    if before.is_empty() {
        found.violations.push("I12: there was no result to rebuild: nothing was looked at".to_owned());
    }
    let lost = before.iter().filter(|result| !after.contains(*result)).count();
    if lost > 0 {
        found.violations.push(format!("I12: {lost} of {} results are not in the rebuilt database", before.len()));
    }
    Ok(found)
}
