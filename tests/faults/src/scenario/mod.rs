//! Runs that are more than a fault that strikes a job: they bring jobs, workers or an installation of their own.

pub mod pictures;
pub mod rebuilt;
pub mod same;
pub mod shares;
pub mod upgrade;

use crate::fault::Fault;
use crate::history::{self, Snapshots};
use crate::report::Ran;
use crate::rig::Rig;
use anyhow::Result;
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// What a scenario found.
#[derive(Debug, Default)]
pub struct Found {
    /// Seconds until all was well again, where that has a meaning.
    pub recovery_s: Option<f64>,
    /// What did not hold.
    pub violations: Vec<String>,
}

/// Makes the run of a scenario.
///
/// # Errors
/// When the harness itself fails.
pub async fn run(rig: &Rig, seed: u64, fault: Fault, rng: &mut ChaCha8Rng) -> Result<Ran> {
    let Found { recovery_s, violations } = match fault {
        Fault::Shares => shares::run(rig, seed).await?,
        Fault::SameTwice => same::run(rig, seed, rng).await?,
        Fault::DeadlyImage => pictures::deadly(rig, seed).await?,
        Fault::BadImages => pictures::bad(rig, seed).await?,
        Fault::RollingUpgrade => upgrade::run(seed, rng).await?,
        _ => Found::default(),
    };
    Ok(Ran { seed, name: fault.name(), recovery_s, violations })
}

/// Waits for the end of a job and holds it against the invariants, but for those whose sentences begin with one of `expected`.
async fn ended(rig: &Rig, seq: i64, patience: Duration, expected: &[&str]) -> Result<Found> {
    let began = Instant::now();
    let ended = history::until_ended(rig, seq, patience).await;
    let mut violations = history::violations(rig, seq, &Snapshots::default()).await?;
    violations.retain(|what| !expected.iter().any(|begin| what.starts_with(begin)));
    if !ended {
        violations.push(format!("I1: job {seq} has not ended, and for {patience:?} none of its tasks has"));
    }
    Ok(Found { recovery_s: Some(began.elapsed().as_secs_f64()), violations })
}
