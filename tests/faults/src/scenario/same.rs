//! I10: two jobs ask for the same latents at once, and a worker that computes some of them dies.

use super::{Found, ended};
use crate::api::SOURCES;
use crate::rig::Rig;
use crate::soak::load::{self, PROJECTS};
use anyhow::Result;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Runs it.
///
/// # Errors
/// When the harness itself fails.
pub async fn run(rig: &Rig, seed: u64, rng: &mut ChaCha8Rng) -> Result<Found> {
    load::projects(rig).await?;
    let [(one, _), (other, _)] = PROJECTS;
    let ((_, first), (_, second)) =
        tokio::try_join!(rig.api.submit_as(one, seed, 1), rig.api.submit_as(other, seed, 1))?;
    tokio::time::sleep(Duration::from_millis(rng.random_range(300..1500))).await;
    let place = rig.some_worker(rng);
    rig.with_worker(place, |child| child.kill())?;
    rig.revive()?;
    let patience = Duration::from_secs(120);
    // one of them has the inversions, or each has some: both together are held against what was asked for
    let mut found = ended(rig, first, patience, &["I1: 0 of", "I1: a"]).await?;
    found.violations.extend(ended(rig, second, patience, &["I1: a"]).await?.violations);
    found.violations.retain(|what| !(what.starts_with("I1: ") && what.contains("invert tasks exist")));
    for (what, sql) in [
        (
            "I10: keys that were computed twice, and neither task was given up",
            "SELECT count(*) FROM (SELECT key FROM tasks WHERE job_seq IN ($1, $2) AND stage <> 'edit'
                AND state = 'succeeded' GROUP BY key HAVING count(*) > 1) AS doubled",
        ),
        (
            "I10: latents that two jobs need and none made",
            "SELECT count(*) FROM (SELECT DISTINCT needs FROM tasks WHERE job_seq IN ($1, $2) AND stage = 'edit') AS n
                WHERE NOT EXISTS (SELECT FROM stage_artifacts a WHERE a.key = n.needs AND a.state = 'done')",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(sql).bind(first).bind(second).fetch_one(&rig.pool).await?;
        if count > 0 {
            found.violations.push(format!("{what}: {count}"));
        }
    }
    let sql = "SELECT count(*) FROM tasks WHERE job_seq IN ($1, $2) AND stage = 'invert' AND state = 'succeeded'";
    let made: i64 = sqlx::query_scalar(sql).bind(first).bind(second).fetch_one(&rig.pool).await?;
    if made != SOURCES {
        found
            .violations
            .push(format!("I10: {made} inversions for {SOURCES} sources of two jobs that ask for the same"));
    }
    Ok(found)
}
