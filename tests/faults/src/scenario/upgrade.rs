//! Two versions at once: an installation of the version before, brought to this one while jobs run.
//!
//! The version before is the last one with another schema; `previous.sh` builds it under `.local/previous/bin`.

use super::{Found, ended};
use crate::rig::{Rig, WORKERS};
use crate::setup::Setup;
use anyhow::Result;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use std::path::PathBuf;
use std::time::Duration;
use testkit::workspace_root;
use tokio::time::sleep;

/// What the version before knows.
const SETTINGS: &str = r#"
[tuning]
poll = "100ms"
sweep = "200ms"
worker_lost = "3s"
never_started = "4s"
batch_invert = 6
batch_mapper = 6
batch_optimise = 4
"#;

/// The folder with the binaries of the version before, if they were built.
pub fn previous() -> Option<PathBuf> {
    let folder = workspace_root().join(".local/previous/bin");
    ["coordinator", "worker"].iter().all(|name| folder.join(name).is_file()).then_some(folder)
}

/// Runs it.
///
/// # Errors
/// When the harness itself fails.
pub async fn run(seed: u64, rng: &mut ChaCha8Rng) -> Result<Found> {
    let rig = Rig::start_as(Setup { settings: SETTINGS, binaries: previous(), ..Setup::default() }).await?;
    let mut jobs = vec![rig.api.submit(seed).await?.1];
    sleep(Duration::from_secs_f64(rng.random_range(0.5..2.0))).await;
    // the schema goes first, under coordinators that do not know it
    rig.upgrade().await?;
    jobs.push(rig.api.submit(seed + 1_000_000).await?.1);
    sleep(Duration::from_secs_f64(rng.random_range(0.2..2.0))).await;
    // each process ends in good order, and one of this version takes its place
    rig.succeed_coordinator(1).await?;
    rig.succeed_worker(0).await?;
    rig.api.ready().await;
    // mixed: a job is written by one version and handed out by either
    jobs.push(rig.api.submit(seed + 2_000_000).await?.1);
    sleep(Duration::from_secs_f64(rng.random_range(1.0..4.0))).await;
    rig.succeed_coordinator(0).await?;
    for place in 1..WORKERS {
        rig.succeed_worker(place).await?;
        sleep(Duration::from_secs_f64(rng.random_range(0.2..1.5))).await;
    }
    rig.api.ready().await;
    jobs.push(rig.api.submit(seed + 3_000_000).await?.1);
    let mut found = Found::default();
    for seq in jobs {
        let one = ended(&rig, seq, Duration::from_secs(120), &[]).await?;
        found.recovery_s = one.recovery_s.or(found.recovery_s);
        found.violations.extend(one.violations.into_iter().map(|what| format!("job {seq}: {what}")));
    }
    let versions: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&rig.pool).await?;
    let known = std::fs::read_dir(workspace_root().join("migrations"))?.count();
    if usize::try_from(versions)? != known {
        found.violations.push(format!("15: {versions} of {known} migrations were applied"));
    }
    if !found.violations.is_empty() {
        let path = workspace_root().join(format!(".local/faults/upgrade-{seed}.txt"));
        std::fs::write(path, rig.outputs())?;
    }
    Ok(found)
}
