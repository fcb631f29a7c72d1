//! The short form of `make faults`, which every change has to pass: at least twenty seeds, less than ten minutes.

use faults::run::{Plan, all};
use std::time::Duration;

/// Seeds of the short form: each draws one fault or two.
const SEEDS: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_seeds_break_nothing_that_is_promised() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut plan = Plan::new(1000, SEEDS);
    plan.matrix_first = false;
    // a story has it to itself, and here it would take of the eight minutes
    plan.rebuild = false;
    plan.limit = Some(Duration::from_secs(480));
    plan.folder = folder.path().to_owned();
    let report = all(&plan).await?;
    assert!(report.runs >= 20, "only {} runs in eight minutes", report.runs);
    assert_eq!(report.violations, 0, "{report:#?}");
    Ok(())
}
